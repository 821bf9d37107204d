//! A serial line in raw mode; its settings are restored afterwards.

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
    /// Opens the device without waiting for a carrier and without making it the controlling terminal.
    pub(super) fn open(device: &Path, speed: Option<u32>) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(open(device, flags, Mode::empty())?);
        let before = tcgetattr(&file)?;
        let mut raw = before.clone();
        raw.make_raw();
        // Enable the receiver; ignore modem lines: there may be only three wires.
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        raw.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        if let Some(speed) = speed {
            raw.set_speed(speed)?;
        }
        // Not flushed: the peer may have sent data already.
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
        // Drain first: our last bytes may not have been transmitted yet. A device that was removed
        // cannot be restored.
        let _ = tcsetattr(&self.file, OptionalActions::Drain, &self.before);
    }
}
