//! The begin of a message that may carry a descriptor.

#![allow(unsafe_code, reason = "control messages have no safe form in std")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::{mem, ptr};

use crate::protocol::Limit;

/// Room for a few descriptors' control message, aligned as control messages are.
#[repr(align(8))]
struct Control([u8; 64]);

/// Reads the four bytes of a frame's length, and takes the descriptor that comes with them. More than one are closed.
///
/// # Errors
/// What the socket says; those of [`Limit::left`]; [`io::ErrorKind::UnexpectedEof`].
pub(super) fn receive_length_and_fd(stream: &UnixStream, limit: impl Limit) -> io::Result<([u8; 4], Option<OwnedFd>)> {
    loop {
        stream.set_read_timeout(Some(limit.left()?))?;
        match receive_now(stream) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            result => return result,
        }
    }
}

fn receive_now(stream: &UnixStream) -> io::Result<([u8; 4], Option<OwnedFd>)> {
    let (mut length, mut control) = ([0u8; 4], Control([0; 64]));
    let mut part = libc::iovec {
        iov_base: length.as_mut_ptr().cast(),
        iov_len: length.len(),
    };
    // SAFETY: all zero is a valid message header; its buffers are ours, live and aligned. WAITALL: a length is never cut.
    let (received, message) = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len();
        let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_WAITALL;
        (libc::recvmsg(stream.as_raw_fd(), &raw mut message, flags), message)
    };
    match usize::try_from(received) {
        // SAFETY: recvmsg has filled in the message.
        Ok(4) => Ok((length, unsafe { descriptors_of(&message) }.pop())),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// # Safety
/// `recvmsg` has filled in `message`, whose control buffer is live; nobody has taken its descriptors.
unsafe fn descriptors_of(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the macros walk the control buffer within its length; a descriptor in it is new and ours.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*header).cmsg_len - libc::CMSG_LEN(0) as usize;
                let first = libc::CMSG_DATA(header).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    descriptors.push(OwnedFd::from_raw_fd(ptr::read_unaligned(first.add(index))));
                }
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    descriptors
}
