//! Messages over a socket pair: four bytes of length, then JSON.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::unistd::close;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::lifecycle::{create_privately, keep_private, refuse_new_privileges};

/// Most bytes of one message. An event that names ten thousand secrets has three megabytes.
pub(super) const MOST: usize = 8 << 20;

/// The socket pair's end that this process was given, in place of its standard input. Everything else that the daemon's
/// own parent left open is closed.
///
/// # Errors
/// There is none, or the kernel refuses to keep this process private.
pub(super) fn own_channel() -> io::Result<UnixStream> {
    keep_private()?;
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        // The listing's own one is closed already.
        close(descriptor).ok();
    }
    create_privately();
    refuse_new_privileges()?;
    Ok(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// `message` with its length before it.
///
/// # Errors
/// It is too long.
pub(super) fn framed(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    let header = u32::try_from(length).ok().filter(|_| length <= MOST).ok_or_else(too_long)?;
    header.to_be_bytes().iter().zip(&mut frame).for_each(|(byte, place)| *place = *byte);
    Ok(frame)
}

/// The length that a message's first four bytes say.
///
/// # Errors
/// It is too long.
pub(super) fn length(header: [u8; 4]) -> io::Result<usize> {
    usize::try_from(u32::from_be_bytes(header)).ok().filter(|length| *length <= MOST).ok_or_else(too_long)
}

/// Sends one message.
///
/// # Errors
/// It is too long, or the other process is gone.
pub(super) fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&framed(message)?)
}

/// The next message; `None` when the other process is gone.
///
/// # Errors
/// What came is none.
pub(super) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<Option<T>> {
    let mut header = [0; 4];
    match from.read_exact(&mut header) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = length(header)?;
    // Not allocated before it comes.
    let mut message = Vec::new();
    from.take(length as u64).read_to_end(&mut message)?;
    if message.len() < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(serde_json::from_slice(&message)?))
}

fn too_long() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("a message is longer than {MOST} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_and_one_that_is_cut_or_too_long_does_not() {
        let frame = framed(&("a", 7)).unwrap();
        assert_eq!(receive::<(String, u8)>(frame.as_slice()).unwrap(), Some(("a".to_owned(), 7)));
        assert_eq!(receive::<u8>([].as_slice()).unwrap(), None);
        assert!(receive::<(String, u8)>(&frame[..frame.len() - 1]).is_err());
        assert!(receive::<u8>([0xff; 8].as_slice()).unwrap_err().to_string().contains("longer than"));
        assert!(framed(&"x".repeat(MOST)).is_err() && framed(&"x".repeat(MOST - 2)).is_ok());
    }
}
