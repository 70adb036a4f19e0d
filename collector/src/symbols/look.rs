//! The thread that looks at what processes have mapped, at once: they may end soon.

use super::process::{Places, Processes};
use super::{Order, RETRY, Request, WAITING_MAX};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};

/// A stack that was looked at.
pub(super) enum Looked {
    Kernel(Vec<u64>),
    User(Places),
}

/// Finds places for the addresses of stacks until nobody asks any more.
pub(super) fn look(orders: &Receiver<Order>, namer: &SyncSender<(u64, Looked)>, unnamed: &AtomicU64) {
    let mut processes = Processes::default();
    let mut waiting = VecDeque::new();
    loop {
        let order = match waiting.is_empty() {
            true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => orders.recv_timeout(RETRY),
        };
        match order {
            Ok(Order::Name(_)) if waiting.len() >= WAITING_MAX => drop(unnamed.fetch_add(1, Ordering::Relaxed)),
            Ok(Order::Name(Request { id, pid, addresses })) => {
                let looked = match pid {
                    Some(pid) => Looked::User(processes.places(pid, &addresses)),
                    None => Looked::Kernel(addresses),
                };
                waiting.push_back((id, looked));
            }
            Ok(Order::Forget(pid)) => processes.forget(pid),
            Ok(Order::ForgetAll) => processes = Processes::default(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // Not to wait for names while processes end.
        while let Some(looked) = waiting.pop_front() {
            if let Err(TrySendError::Full(looked) | TrySendError::Disconnected(looked)) = namer.try_send(looked) {
                waiting.push_front(looked);
                break;
            }
        }
    }
    // Who waits for the end does so for a time only.
    for looked in waiting {
        if namer.send(looked).is_err() {
            unnamed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn who_is_slow_to_name_gets_everything() {
        let (orders, inbox) = sync_channel(8);
        let (namer, looked) = sync_channel(1);
        let looker = std::thread::spawn(move || {
            let unnamed = AtomicU64::new(0);
            look(&inbox, &namer, &unnamed);
            unnamed.into_inner()
        });
        (0..8).for_each(|id| orders.send(Order::Name(request(id))).expect("somebody looks"));
        drop(orders);
        let ids: Vec<u64> = looked.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, (0..8).collect::<Vec<_>>());
        assert_eq!(looker.join().expect("its end"), 0);
    }
}
