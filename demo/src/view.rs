//! The live view on a terminal.

mod lines;
mod numbers;
mod render;
mod table;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

pub(crate) use lines::line;

use crate::snapshot::Snapshot;

/// The minute that the table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShownMinute {
    Running,
    Previous,
}

/// The terminal while the view owns it: raw mode and the alternate screen.
///
/// It is restored when the view is dropped, and on a panic. Until then nothing else may write to it.
#[derive(Debug)]
pub(crate) struct TerminalView {
    terminal: DefaultTerminal,
    exit: Arc<AtomicBool>,
    shown: ShownMinute,
}

impl TerminalView {
    /// Takes over the terminal. Sets `exit` when a key asks to quit (`q`, Escape or Ctrl-C, which is an ordinary key in
    /// raw mode).
    ///
    /// # Errors
    /// If standard output is no terminal or cannot be set up.
    pub(crate) fn start(exit: Arc<AtomicBool>) -> io::Result<Self> {
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        Ok(Self { terminal, exit, shown: ShownMinute::Running })
    }

    /// Draws `snapshot` at the current size of the terminal.
    ///
    /// # Errors
    /// If the terminal cannot be written to.
    pub(crate) fn draw(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let shown = self.shown;
        self.terminal.draw(|frame| render::render(frame, snapshot, shown))?;
        Ok(())
    }

    /// Waits for a key or a new size, at most for `timeout`. Returns true if there was one, so that the view must be
    /// drawn.
    ///
    /// # Errors
    /// If the terminal cannot be read.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        if !event::poll(timeout)? {
            return Ok(false);
        }
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            match KeyCommand::of(key) {
                Some(KeyCommand::Exit) => self.exit.store(true, Ordering::Relaxed),
                Some(KeyCommand::OtherMinute) => self.shown = self.shown.other(),
                None => {}
            }
        }
        Ok(true)
    }
}

impl Drop for TerminalView {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

impl ShownMinute {
    fn other(self) -> Self {
        match self {
            Self::Running => Self::Previous,
            Self::Previous => Self::Running,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyCommand {
    Exit,
    OtherMinute,
}

impl KeyCommand {
    fn of(key: KeyEvent) -> Option<Self> {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Self::Exit),
            KeyCode::Char('q') | KeyCode::Esc => Some(Self::Exit),
            KeyCode::Char('m') => Some(Self::OtherMinute),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
