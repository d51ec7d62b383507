//! The comparison: Asterix with everybody in a lane as an entity of its arena. Not registered; see the page of the game.

use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::simulator::{
    Actions, Arena, EcsEnv, EnvRng, IN_TABLES, MemberOf, Observations, Outcomes, Row, Scope, SimulatorBuilder,
};
use crate::{ActionBatch, Autoreset, MakeOptions, Pcg64, Registry, Simulator, Space};

struct Entities;

#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct Player {
    x: u8,
    y: u8,
    last: GameAction,
    /// Lanes that somebody is in, a bit each.
    taken: u8,
}

#[derive(Component, Clone, Copy, Default, Serialize, Deserialize)]
struct Clocks(Timing);

/// Somebody in a lane, with its number.
#[derive(Component, Clone, Copy, Serialize, Deserialize)]
struct Crosser(u8, Lane);

impl EcsEnv for Entities {
    fn observation_space(&self) -> Space {
        Space::image_u8(&[SIDE, SIDE, 4]).unwrap()
    }

    fn action_space(&self) -> Space {
        Space::discrete(6).unwrap()
    }

    fn build(&self, simulator: &mut SimulatorBuilder) {
        simulator
            .random::<Mt19937>()
            .arena_component(Player::default())
            .arena_component(Clocks::default())
            .member_component::<Crosser>()
            .act((spawn, touch, march, tick).chain())
            .observe(observe)
            .despawn_members_at_reset()
            .reset(reset);
    }
}

fn spawn(
    actions: Res<Actions>,
    mut commands: Commands,
    mut arenas: Query<(&Arena, &Row, &mut Player, &mut Clocks, &mut EnvRng<Mt19937>)>,
) {
    for (&arena, &row, mut player, mut clocks, mut rng) in &mut arenas {
        if rng.0.random_sample() >= 0.1 {
            player.last = GameAction::ALL[actions.row(row).index()];
        }
        if clocks.0.spawn_clock == 0 {
            clocks.0.spawn_clock = clocks.0.spawn_period;
            let right = rng.0.random_sample() < 0.5;
            let kind = if rng.0.random_sample() < 1.0 / 3.0 { Kind::Gold } else { Kind::Enemy };
            let is_empty = |lane: &u8| player.taken >> lane & 1 == 0;
            let empty = (0..8).filter(is_empty).count();
            if empty > 0 {
                let chosen = rng.0.below(empty);
                let lane = (0..8).filter(is_empty).nth(chosen).unwrap();
                player.taken |= 1 << lane;
                let x = if right { 0 } else { 9 };
                commands.spawn((MemberOf(arena), Crosser(lane, Lane { kind, x, right })));
            }
        }
        (player.x, player.y) = (player.last.column(player.x), player.last.row(player.y, 1, 8));
    }
}

/// Handles one who may have met the player; says whether it stays.
fn meet(player: &mut Player, crosser: &Crosser, reward: &mut f64, terminated: &mut bool) -> bool {
    let &Crosser(lane, Lane { kind, x, .. }) = crosser;
    if (x, lane + 1) != (player.x, player.y) {
        return true;
    }
    if kind == Kind::Enemy {
        *terminated = true;
        return true;
    }
    *reward += 1.0;
    player.taken &= !(1 << lane);
    false
}

fn touch(
    mut commands: Commands,
    mut outcomes: ResMut<Outcomes>,
    mut players: Query<&mut Player>,
    crossers: Query<(Entity, &MemberOf, &Crosser)>,
) {
    let outcomes = &mut *outcomes;
    for mut players in players.contiguous_iter_mut().expect(IN_TABLES) {
        let players = players.bypass_change_detection();
        for (entity, member, crosser) in &crossers {
            let i = member.0.index();
            if !meet(&mut players[i], crosser, &mut outcomes.rewards[i], &mut outcomes.terminated[i]) {
                commands.entity(entity).despawn();
            }
        }
    }
}

fn march(
    mut commands: Commands,
    mut outcomes: ResMut<Outcomes>,
    mut players: Query<(&mut Player, &Clocks)>,
    mut crossers: Query<(Entity, &MemberOf, &mut Crosser)>,
) {
    let outcomes = &mut *outcomes;
    for (mut players, clocks) in players.contiguous_iter_mut().expect(IN_TABLES) {
        let players = players.bypass_change_detection();
        for (entity, member, mut crosser) in &mut crossers {
            let i = member.0.index();
            if clocks[i].0.move_clock != 0 {
                continue;
            }
            crosser.1.x = ahead(crosser.1.x, crosser.1.right);
            if !in_grid(crosser.1.x) {
                players[i].taken &= !(1 << crosser.0);
                commands.entity(entity).despawn();
            } else if !meet(&mut players[i], &crosser, &mut outcomes.rewards[i], &mut outcomes.terminated[i])
            {
                commands.entity(entity).despawn();
            }
        }
    }
}

fn tick(mut arenas: Query<&mut Clocks>) {
    for mut clocks in &mut arenas {
        if clocks.0.move_clock == 0 {
            clocks.0.move_clock = clocks.0.move_period;
        }
        clocks.0.tick(true);
    }
}

fn observe(
    scope: Res<Scope>,
    mut observations: ResMut<Observations>,
    players: Query<(&Arena, &Player)>,
    crossers: Query<(&MemberOf, &Crosser)>,
) {
    let (images, _) = observations.rows_mut::<u8>().as_chunks_mut::<4>().0.as_chunks_mut::<100>();
    for (arena, player) in &players {
        if scope.contains(*arena) {
            images[arena.index()] = [[0; 4]; 100];
            set(&mut images[arena.index()], player.x, player.y, 0);
        }
    }
    for (member, &Crosser(lane, Lane { kind, x, right })) in &crossers {
        if scope.contains(member.0) {
            let image = &mut images[member.0.index()];
            set(image, x, lane + 1, if kind == Kind::Gold { 3 } else { 1 });
            let trail = behind(x, right);
            set_if(image, in_grid(trail), trail, lane + 1, 2);
        }
    }
}

fn reset(scope: Res<Scope>, mut arenas: Query<(&mut Player, &mut Clocks)>) {
    scope.for_each(&mut arenas, |(mut player, mut clocks)| {
        *player = Player { x: 5, y: 5, taken: 0, last: player.last };
        clocks.0 = Timing::START;
    });
}

fn both(num_envs: usize) -> [Simulator; 2] {
    let options = MakeOptions { num_envs, ..Default::default() };
    [
        Registry::builtin().make("MinAtar/Asterix-v0", &options).unwrap(),
        Simulator::new(&Entities, num_envs, None, Autoreset::SameStep).unwrap(),
    ]
}

fn random_actions(num_envs: usize, rng: &mut Pcg64) -> ActionBatch {
    ActionBatch::Discrete((0..num_envs).map(|_| rng.integers(0, 6) as u32).collect())
}

#[test]
fn entities_give_the_trajectories_of_the_struct() {
    let mut simulators = both(16);
    let [mut expected, mut found] = [simulators[0].new_batch(), simulators[1].new_batch()];
    let mut rng = Pcg64::seed_from(3);
    simulators[0].reset(5, &mut expected).unwrap();
    simulators[1].reset(5, &mut found).unwrap();
    for tick in 0..3000 {
        let actions = random_actions(16, &mut rng);
        simulators[0].step(&actions, &mut expected).unwrap();
        simulators[1].step(&actions, &mut found).unwrap();
        assert_eq!(expected, found, "tick {tick}");
    }
}
