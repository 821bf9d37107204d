//! A serial line: bytes as they are while we use it, and its settings as they were afterwards.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{
    ControlModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// An open terminal device in raw mode. Dropping restores its settings.
#[derive(Debug)]
pub(super) struct SerialLine {
    file: File,
    before: Termios,
}

impl SerialLine {
    /// Opens the device without waiting for a carrier and without becoming its controlled process.
    pub(super) fn open(device: &Path, speed: Option<u32>) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(open(device, flags, Mode::empty())?);
        let before = tcgetattr(&file)?;
        let mut raw = before.clone();
        raw.make_raw();
        // Read whatever there is; no modem lines: there may be three wires only.
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        raw.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        if let Some(speed) = speed {
            raw.set_speed(speed)?;
        }
        // Not flushed: the other end may have spoken already.
        tcsetattr(&file, OptionalActions::Now, &raw)?;
        Ok(Self { file, before })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Bits per second.
    pub(super) fn speed(&self) -> Option<u32> {
        tcgetattr(&self.file).ok().map(|now| now.output_speed())
    }
}

impl Drop for SerialLine {
    fn drop(&mut self) {
        // Drained first: our last bytes may still be on their way down the line. A device that was
        // pulled out has nothing to restore.
        let _ = tcsetattr(&self.file, OptionalActions::Drain, &self.before);
    }
}
