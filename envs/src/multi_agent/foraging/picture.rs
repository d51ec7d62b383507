//! Foraging as a picture and as text.

use bevy_ecs::prelude::*;

use super::{Food, Forager, Foraging, Item, MAX_AGENTS};
use crate::simulator::{Agent, Arena};
use crate::{Canvas, Frame};

/// What is in an arena.
pub(super) fn scene(world: &mut World, arena: Entity) -> Option<(Food, Vec<Item>)> {
    let number = *world.get::<Arena>(arena)?;
    let food = *world.get::<Food>(arena)?;
    let mut agents = world.query::<(&Agent, &Forager)>();
    let items = agents.iter(world).filter(|(agent, _)| agent.arena == number).map(|(_, forager)| forager.0);
    Some((food, items.collect()))
}

impl Foraging {
    pub(super) fn draw(&self, food: &Food, agents: &[Item]) -> Frame {
        const CELL: f32 = 50.0;
        const COLORS: [[u8; 3]; MAX_AGENTS] =
            [[90, 150, 220], [230, 150, 60], [110, 190, 110], [190, 110, 190]];
        let side = CELL * f32::from(self.size) + 1.0;
        let mut canvas = Canvas::new(side as u32, side as u32, [24, 24, 28]);
        for i in 0..=self.size {
            let at = CELL * f32::from(i) + 0.5;
            canvas.line((at, 0.0), (at, side), 1.0, [70, 70, 76]);
            canvas.line((0.0, at), (side, at), 1.0, [70, 70, 76]);
        }
        let center = |item: &Item| {
            (CELL * (f32::from(item.column) + 0.5) + 0.5, CELL * (f32::from(item.row) + 0.5) + 0.5)
        };
        for item in food.items.iter().filter(|item| item.level > 0) {
            let (x, y) = center(item);
            canvas.circle((x, y + 2.0), 17.0, [200, 50, 50]);
            canvas.line((x, y - 13.0), (x + 5.0, y - 21.0), 3.0, [90, 160, 70]);
            canvas.text_centered((x, y + 2.0), &item.level.to_string(), 20.0, [255, 255, 255]);
        }
        for (item, color) in agents.iter().zip(COLORS) {
            let (x, y) = center(item);
            canvas.rect(x - 17.0, y - 17.0, 34.0, 34.0, color);
            canvas.text_centered((x, y), &item.level.to_string(), 20.0, [0, 0, 0]);
        }
        canvas.into_frame()
    }

    /// Dots, food as its level, agents as letters; below, the agents' levels.
    pub(super) fn write(&self, food: &Food, agents: &[Item]) -> String {
        let letters = || agents.iter().zip('a'..);
        let mut text = String::new();
        for row in 0..self.size {
            for column in 0..self.size {
                let agent = letters().find(|(item, _)| item.at((row, column))).map(|(_, letter)| letter);
                let level = food.items.iter().find(|item| item.at((row, column)));
                let level = level.map(|item| char::from(b'0' + item.level));
                text.push(agent.or(level).unwrap_or('.'));
            }
            text.push('\n');
        }
        let levels: Vec<String> =
            letters().map(|(item, letter)| format!("{letter} is of level {}", item.level)).collect();
        text + &levels.join(", ")
    }
}
