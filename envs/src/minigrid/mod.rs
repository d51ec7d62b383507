//! MiniGrid: grid worlds seen through a small window, as in MiniGrid 3.2.0.
//!
//! Same seed and same actions give MiniGrid's own episodes, world generation included. One struct, [`MiniGrid`], serves
//! all ids; what differs between them is a family (`family.rs` says how to add one):
//!
//! | part | file |
//! |---|---|
//! | a cell in two bytes; the grid; the world and its rules | `cell.rs`, `grid.rs`, `world.rs` |
//! | the agent's window and what it hides | `view.rs` |
//! | worlds of equal rooms | `room_grid.rs` |
//! | the families | `empty.rs`, `door_key.rs`, … |
//! | pictures and text | `draw.rs` |
//!
//! # Source
//! Chevalier-Boisvert et al. (2023), "Minigrid & Miniworld: Modular & Customizable Reinforcement Learning Environments for
//! Goal-Oriented Tasks"; <https://github.com/Farama-Foundation/Minigrid> 3.2.0, Apache-2.0.

mod cell;
mod crossing;
mod door_key;
mod draw;
mod dynamic_obstacles;
mod empty;
mod env;
mod family;
mod fetch;
mod four_rooms;
mod go_to_door;
mod grid;
mod key_corridor;
mod lava_gap;
mod memory;
mod multi_room;
mod put_near;
mod red_blue_doors;
mod room_grid;
mod sample;
mod task;
mod unlock;
mod unlock_pickup;
mod view;
mod world;

use crate::{EnvError, EnvSpec, Keys, Registry};

pub use env::{MiniGrid, MiniGridArguments};

use crossing::Crossing;
use door_key::DoorKey;
use dynamic_obstacles::DynamicObstacles;
use empty::Empty;
use fetch::Fetch;
use four_rooms::FourRooms;
use go_to_door::GoToDoor;
use key_corridor::KeyCorridor;
use lava_gap::LavaGap;
use memory::Memory;
use multi_room::MultiRoom;
use put_near::PutNear;
use red_blue_doors::RedBlueDoors;
use task::Task;
use unlock::Unlock;
use unlock_pickup::UnlockPickup;

/// Every id and its task.
fn tasks() -> Vec<(&'static str, Task)> {
    vec![
        ("MiniGrid-Empty-5x5-v0", Empty::new(5).into()),
        ("MiniGrid-Empty-6x6-v0", Empty::new(6).into()),
        ("MiniGrid-Empty-8x8-v0", Empty::new(8).into()),
        ("MiniGrid-Empty-16x16-v0", Empty::new(16).into()),
        ("MiniGrid-Empty-Random-5x5-v0", Empty::random(5).into()),
        ("MiniGrid-Empty-Random-6x6-v0", Empty::random(6).into()),
        ("MiniGrid-FourRooms-v0", FourRooms.into()),
        ("MiniGrid-DoorKey-5x5-v0", DoorKey::new(5).into()),
        ("MiniGrid-DoorKey-6x6-v0", DoorKey::new(6).into()),
        ("MiniGrid-DoorKey-8x8-v0", DoorKey::new(8).into()),
        ("MiniGrid-DoorKey-16x16-v0", DoorKey::new(16).into()),
        ("MiniGrid-LavaCrossingS9N1-v0", Crossing::lava(9, 1).into()),
        ("MiniGrid-LavaCrossingS9N2-v0", Crossing::lava(9, 2).into()),
        ("MiniGrid-LavaCrossingS9N3-v0", Crossing::lava(9, 3).into()),
        ("MiniGrid-LavaCrossingS11N5-v0", Crossing::lava(11, 5).into()),
        ("MiniGrid-SimpleCrossingS9N1-v0", Crossing::simple(9, 1).into()),
        ("MiniGrid-SimpleCrossingS9N2-v0", Crossing::simple(9, 2).into()),
        ("MiniGrid-SimpleCrossingS9N3-v0", Crossing::simple(9, 3).into()),
        ("MiniGrid-SimpleCrossingS11N5-v0", Crossing::simple(11, 5).into()),
        ("MiniGrid-LavaGapS5-v0", LavaGap::new(5).into()),
        ("MiniGrid-LavaGapS6-v0", LavaGap::new(6).into()),
        ("MiniGrid-LavaGapS7-v0", LavaGap::new(7).into()),
        ("MiniGrid-Dynamic-Obstacles-5x5-v0", DynamicObstacles::new(5, 2).into()),
        ("MiniGrid-Dynamic-Obstacles-6x6-v0", DynamicObstacles::new(6, 3).into()),
        ("MiniGrid-Dynamic-Obstacles-8x8-v0", DynamicObstacles::new(8, 4).into()),
        ("MiniGrid-Dynamic-Obstacles-16x16-v0", DynamicObstacles::new(16, 8).into()),
        ("MiniGrid-Dynamic-Obstacles-Random-5x5-v0", DynamicObstacles::random(5, 2).into()),
        ("MiniGrid-Dynamic-Obstacles-Random-6x6-v0", DynamicObstacles::random(6, 3).into()),
        ("MiniGrid-MemoryS7-v0", Memory::new(7).into()),
        ("MiniGrid-MemoryS9-v0", Memory::new(9).into()),
        ("MiniGrid-MemoryS11-v0", Memory::new(11).into()),
        ("MiniGrid-MemoryS13-v0", Memory::new(13).into()),
        ("MiniGrid-MemoryS13Random-v0", Memory::random_length(13).into()),
        ("MiniGrid-MemoryS17Random-v0", Memory::random_length(17).into()),
        ("MiniGrid-MultiRoom-N2-S4-v0", MultiRoom::new(2, 4).into()),
        // Six rooms, whatever the id says: MiniGrid keeps this one for old results.
        ("MiniGrid-MultiRoom-N4-S5-v0", MultiRoom::new(6, 5).into()),
        ("MiniGrid-MultiRoom-N4-S5-v1", MultiRoom::new(4, 5).into()),
        ("MiniGrid-MultiRoom-N6-v0", MultiRoom::new(6, 10).into()),
        ("MiniGrid-Unlock-v0", Unlock::new().into()),
        ("MiniGrid-UnlockPickup-v0", UnlockPickup::new().into()),
        ("MiniGrid-KeyCorridorS3R1-v0", KeyCorridor::new(3, 1).into()),
        ("MiniGrid-KeyCorridorS3R2-v0", KeyCorridor::new(3, 2).into()),
        ("MiniGrid-KeyCorridorS3R3-v0", KeyCorridor::new(3, 3).into()),
        ("MiniGrid-KeyCorridorS4R3-v0", KeyCorridor::new(4, 3).into()),
        ("MiniGrid-KeyCorridorS5R3-v0", KeyCorridor::new(5, 3).into()),
        ("MiniGrid-KeyCorridorS6R3-v0", KeyCorridor::new(6, 3).into()),
        ("MiniGrid-RedBlueDoors-6x6-v0", RedBlueDoors::new(6).into()),
        ("MiniGrid-RedBlueDoors-8x8-v0", RedBlueDoors::new(8).into()),
        ("MiniGrid-Fetch-5x5-N2-v0", Fetch::new(5, 2).into()),
        ("MiniGrid-Fetch-6x6-N2-v0", Fetch::new(6, 2).into()),
        ("MiniGrid-Fetch-8x8-N3-v0", Fetch::new(8, 3).into()),
        ("MiniGrid-GoToDoor-5x5-v0", GoToDoor::new(5).into()),
        ("MiniGrid-GoToDoor-6x6-v0", GoToDoor::new(6).into()),
        ("MiniGrid-GoToDoor-8x8-v0", GoToDoor::new(8).into()),
        ("MiniGrid-PutNear-6x6-N2-v0", PutNear::new(6, 2).into()),
        ("MiniGrid-PutNear-8x8-N3-v0", PutNear::new(8, 3).into()),
    ]
}

/// Adds the environments of this module.
pub(crate) fn register(registry: &mut Registry) -> Result<(), EnvError> {
    for (id, task) in tasks() {
        let (page, summary) = (task.family().page(), task.family().summary());
        let max_steps = task.family().layout().max_steps;
        // A family with fewer actions lacks the last ones.
        let last = task.family().num_actions() as u32 - 1;
        let spec =
            EnvSpec::single(id, move |arguments: MiniGridArguments| MiniGrid::new(task.clone(), arguments));
        let keys = Keys {
            moves: [0, 2, 1, 2],
            buttons: [5, 3].map(|key: u32| key.min(last)),
            idle: 6.min(last),
            real_time: false,
        };
        registry.register(spec.max_episode_steps(max_steps).summary(summary).page(page).keys(keys))?;
    }
    Ok(())
}

/// The words of a mission of an environment: what its `mission` observation stands for.
///
/// `None` if there is no such environment or no such mission.
///
/// ```
/// # use agon_envs::minigrid::mission_text;
/// assert_eq!(mission_text("MiniGrid-GoToDoor-6x6-v0", 4).as_deref(), Some("go to the red door"));
/// assert_eq!(mission_text("MiniGrid-GoToDoor-6x6-v0", 6), None);
/// ```
pub fn mission_text(id: &str, index: usize) -> Option<String> {
    let (_, task) = tasks().into_iter().find(|(known, _)| *known == id)?;
    let family = task.family();
    (index < family.num_missions()).then(|| family.mission(index))
}

#[cfg(test)]
mod tests;
