//! One task of any family.

use serde::{Deserialize, Serialize};

use super::crossing::Crossing;
use super::door_key::DoorKey;
use super::dynamic_obstacles::DynamicObstacles;
use super::empty::Empty;
use super::family::Family;
use super::fetch::Fetch;
use super::four_rooms::FourRooms;
use super::go_to_door::GoToDoor;
use super::key_corridor::KeyCorridor;
use super::lava_gap::LavaGap;
use super::memory::Memory;
use super::multi_room::MultiRoom;
use super::put_near::PutNear;
use super::red_blue_doors::RedBlueDoors;
use super::unlock::Unlock;
use super::unlock_pickup::UnlockPickup;

/// Declares [`Task`] and the way from it to the family in it.
macro_rules! task {
    ($($family:ident),* $(,)?) => {
        /// One of the families.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(super) enum Task {
            $($family($family)),*
        }

        impl Task {
            pub(super) fn family(&self) -> &dyn Family {
                match self {
                    $(Self::$family(family) => family),*
                }
            }

            pub(super) fn family_mut(&mut self) -> &mut dyn Family {
                match self {
                    $(Self::$family(family) => family),*
                }
            }
        }

        $(impl From<$family> for Task {
            fn from(family: $family) -> Self {
                Self::$family(family)
            }
        })*
    };
}

task! {
    Empty, FourRooms, DoorKey, Crossing, LavaGap, DynamicObstacles, Memory, MultiRoom, Unlock, UnlockPickup,
    KeyCorridor, RedBlueDoors, Fetch, GoToDoor, PutNear,
}
