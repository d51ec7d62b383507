//! The terminal as bars see it.
//!
//! A line is not filled with spaces up to its end: the `^C` that a terminal echoes at the cursor would begin another one, and
//! what is drawn next would be a line off.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{MoveDown, MoveLeft, MoveRight, MoveUp};
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType};
use indicatif::TermLike;

/// Size of a terminal that does not say how large it is.
const SIZE: (u16, u16) = (80, 24);
/// Columns of a line that stay free: two for the echo, and one because some terminals begin a line when the last is written.
const FREE: u16 = 3;
/// Whether the cursor stands behind a line that is whole.
static ENDS_LINE: AtomicBool = AtomicBool::new(false);

/// Standard error.
#[derive(Debug)]
pub(super) struct Screen;

/// Columns that a line of progress may have.
pub(super) fn columns() -> usize {
    usize::from(Screen.width().saturating_sub(FREE))
}

/// Begins a new line behind the last one that was drawn.
pub(super) fn leave() {
    if ENDS_LINE.swap(false, Ordering::Relaxed) {
        let _ = writeln!(io::stderr());
    }
}

fn stay() {
    ENDS_LINE.store(false, Ordering::Relaxed);
}

fn lines(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

// A move by zero would be one by one: terminals take it so.
impl TermLike for Screen {
    fn width(&self) -> u16 {
        crossterm::terminal::size().unwrap_or(SIZE).0.max(1)
    }

    fn height(&self) -> u16 {
        crossterm::terminal::size().unwrap_or(SIZE).1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        stay();
        if n > 0 { queue!(io::stderr(), MoveUp(lines(n))) } else { Ok(()) }
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        stay();
        if n > 0 { queue!(io::stderr(), MoveDown(lines(n))) } else { Ok(()) }
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        if n > 0 { queue!(io::stderr(), MoveRight(lines(n))) } else { Ok(()) }
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        if n > 0 { queue!(io::stderr(), MoveLeft(lines(n))) } else { Ok(()) }
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        writeln!(io::stderr())
    }

    /// Writes a line, or what fills it up to the terminal's edge.
    fn write_str(&self, text: &str) -> io::Result<()> {
        if text.chars().all(|letter| letter == ' ') {
            ENDS_LINE.store(true, Ordering::Relaxed);
            let rest = Clear(ClearType::UntilNewLine);
            return if text.is_empty() { Ok(()) } else { queue!(io::stderr(), rest) };
        }
        leave();
        write!(io::stderr(), "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        stay();
        write!(io::stderr(), "\r")?;
        queue!(io::stderr(), Clear(ClearType::CurrentLine))
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}
