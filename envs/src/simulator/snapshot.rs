//! Saving, restoring and copying what is in a world, column by column.

use bevy_ecs::component::Mutable;
use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::schedule::{Arena, MemberOf};
use crate::EnvError;
use crate::columns::from_bytes;

/// How one component type is saved, restored and copied.
pub(super) struct ComponentIo {
    pub(super) name: &'static str,
    save: fn(&World, &[Entity]) -> Result<Vec<u8>, postcard::Error>,
    load: fn(&mut World, &[Entity], &[u8]) -> Result<(), String>,
    copy: fn(&mut World, Entity, Entity),
}

impl ComponentIo {
    pub(super) fn of<C>() -> Self
    where
        C: Component<Mutability = Mutable> + Clone + Serialize + DeserializeOwned,
    {
        Self {
            name: std::any::type_name::<C>(),
            save: |world, entities| {
                let column: Vec<Option<&C>> = entities.iter().map(|&entity| world.get::<C>(entity)).collect();
                postcard::to_stdvec(&column)
            },
            load: |world, entities, bytes| {
                let column: Vec<Option<C>> = from_bytes(bytes).map_err(|error| error.to_string())?;
                if column.len() != entities.len() {
                    return Err(format!("expected {} values, got {}", entities.len(), column.len()));
                }
                for (&entity, value) in entities.iter().zip(column) {
                    put(world, entity, value);
                }
                Ok(())
            },
            copy: |world, from, to| {
                let value = world.get::<C>(from).cloned();
                put(world, to, value);
            },
        }
    }

    /// Gives entity `to` a copy of what `from` has of this component.
    #[inline]
    pub(super) fn copy(&self, world: &mut World, from: Entity, to: Entity) {
        (self.copy)(world, from, to);
    }
}

/// Makes an entity's component a value, or takes it away.
fn put<C: Component<Mutability = Mutable>>(world: &mut World, entity: Entity, value: Option<C>) {
    let mut entity = world.entity_mut(entity);
    match (entity.get_mut::<C>(), value) {
        (Some(mut old), Some(new)) => *old = new,
        (None, Some(new)) => {
            entity.insert(new);
        }
        (Some(_), None) => {
            entity.remove::<C>();
        }
        (None, None) => {}
    }
}

/// The saved columns of a set of entities, by component name.
#[derive(Serialize, Deserialize)]
pub(super) struct Columns(Vec<(String, Vec<u8>)>);

impl Columns {
    pub(super) fn save(
        world: &World,
        entities: &[Entity],
        components: &[ComponentIo],
    ) -> Result<Self, EnvError> {
        let column = |io: &ComponentIo| match (io.save)(world, entities) {
            Ok(bytes) => Ok((io.name.to_owned(), bytes)),
            Err(error) => Err(EnvError::Snapshot(format!("component {}: {error}", io.name))),
        };
        Ok(Self(components.iter().map(column).collect::<Result<_, _>>()?))
    }

    /// Refuses columns that cannot be of so many entities, before any is made.
    pub(super) fn expect(&self, count: usize) -> Result<(), EnvError> {
        // Each value takes a byte at least, and their number one more.
        match self.0.iter().find(|(_, bytes)| bytes.len() <= count) {
            None if count == 0 || !self.0.is_empty() => Ok(()),
            None => Err(EnvError::Snapshot(format!("expected columns of {count} entities, found none"))),
            Some((name, bytes)) => {
                let message = format!("component {name}: {} bytes cannot be {count} values", bytes.len());
                Err(EnvError::Snapshot(message))
            }
        }
    }

    pub(super) fn load(
        &self,
        world: &mut World,
        entities: &[Entity],
        components: &[ComponentIo],
    ) -> Result<(), EnvError> {
        let names = |found: &mut dyn Iterator<Item = &str>| found.collect::<Vec<_>>().join(", ");
        if !self.0.iter().map(|(name, _)| name.as_str()).eq(components.iter().map(|io| io.name)) {
            return Err(EnvError::Snapshot(format!(
                "expected components [{}], found [{}]",
                names(&mut components.iter().map(|io| io.name)),
                names(&mut self.0.iter().map(|(name, _)| name.as_str())),
            )));
        }
        for (io, (name, bytes)) in components.iter().zip(&self.0) {
            (io.load)(world, entities, bytes)
                .map_err(|message| EnvError::Snapshot(format!("component {name}: {message}")))?;
        }
        Ok(())
    }
}

/// The entities that belong to arenas.
pub(super) struct Members(QueryState<(Entity, &'static MemberOf)>);

impl Members {
    pub(super) fn new(world: &mut World) -> Self {
        Self(world.query())
    }

    /// All of them in the order in which queries meet them, with their arenas.
    pub(super) fn all(&mut self, world: &World) -> (Vec<Entity>, Vec<Arena>) {
        self.0.iter(world).map(|(entity, member)| (entity, member.0)).unzip()
    }

    /// Those of an arena, in the order in which queries meet them.
    pub(super) fn of(&mut self, world: &World, arena: Arena) -> Vec<Entity> {
        self.0.iter(world).filter(|(_, member)| member.0 == arena).map(|(entity, _)| entity).collect()
    }

    /// Replaces all of them by fresh entities of the given arenas, to be filled from columns.
    pub(super) fn replace_all(&mut self, world: &mut World, arenas: &[Arena]) -> Vec<Entity> {
        for entity in self.all(world).0 {
            world.despawn(entity);
        }
        arenas.iter().map(|&arena| world.spawn(MemberOf(arena)).id()).collect()
    }

    /// Replaces those of an arena by `count` fresh entities, to be filled.
    pub(super) fn replace(&mut self, world: &mut World, arena: Arena, count: usize) -> Vec<Entity> {
        for entity in self.of(world, arena) {
            world.despawn(entity);
        }
        (0..count).map(|_| world.spawn(MemberOf(arena)).id()).collect()
    }
}
