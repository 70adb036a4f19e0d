//! The number of an object's class, as events and probes of blocked threads tell it.
//!
//! Each thread remembers the classes that it met last: the shared tables have locks, which threads that contend already should not contend for as well.

use std::cell::RefCell;

use jvmti_bindings::sys::jni::jobject;

use super::Agent;
use super::jni::Jni;

/// Classes that a thread remembers the numbers of. Most block on one or two.
const REMEMBERED: usize = 4;

/// The number of the object's class in session `epoch`; 0: it has none. `object` is not null.
pub fn number_of(agent: &'static Agent, jni: Jni, epoch: u64, object: jobject) -> u32 {
    let class = jni.class_of(object);
    let signature = agent.jvmti.class_signature(class).unwrap_or_default();
    jni.delete_local(class);
    NUMBERS
        .try_with(|numbers| numbers.borrow_mut().of(agent, epoch, signature))
        .unwrap_or(0)
}

struct Numbers {
    epoch: u64,
    known: Vec<(String, u32)>,
    next: usize,
}

thread_local! {
    static NUMBERS: RefCell<Numbers> = const {
        RefCell::new(Numbers { epoch: 0, known: Vec::new(), next: 0 })
    };
}

impl Numbers {
    fn of(&mut self, agent: &Agent, epoch: u64, signature: String) -> u32 {
        if self.epoch != epoch {
            *self = Numbers {
                epoch,
                known: Vec::with_capacity(REMEMBERED),
                next: 0,
            };
        }
        if let Some((_, number)) = self.known.iter().find(|(known, _)| *known == signature) {
            return *number;
        }
        let Some(session) = agent.session().filter(|_| !signature.is_empty()) else {
            return 0;
        };
        let number = session.class_number(&agent.names, &signature);
        self.remember(signature, number);
        number
    }

    fn remember(&mut self, signature: String, number: u32) {
        if self.known.len() < REMEMBERED {
            self.known.push((signature, number));
        } else {
            self.known[self.next] = (signature, number);
            self.next = (self.next + 1) % REMEMBERED;
        }
    }
}
