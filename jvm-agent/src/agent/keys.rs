//! Keys of units: what a unit is about, from an argument of its method. A key is a number in the record of the unit's begin; its text is told once.
//!
//! Known keys are found in a table of hashes, without a lock and without memory being taken. Nothing of Java runs: the JVM copies a text's first characters out, and that is all.
//! There are at most [`KEYS_MAX`] keys in a session; what comes beyond has a number of its own ([`JvmRecord::KEY_OTHER`]). A text longer than [`TEXT_MAX`] is cut.
//!
//! Two texts of one hash would be one key. A hash has 64 bits and a seed of its own in each JVM: among as many keys as there can be, once in 10^11 sessions.

#![allow(unsafe_code, reason = "the JVM calls in here")]

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use jvmti_bindings::sys::jni::{JNIEnv, jclass, jint, jlong, jobject};
use plumb_trace::definition::Definition;
use plumb_trace::record::{JvmKind, JvmRecord};

use super::Agent;
use super::arena::{DISARMED, GATE};
use super::barrier::guard;
use super::jni::Jni;
use super::probe::record;

/// Most keys that a session tells apart.
pub const KEYS_MAX: u32 = 16_384;
/// Most characters (UTF-16) of a key that count.
pub const TEXT_MAX: usize = 128;
/// Twice the keys, so that a search is short.
const SLOTS: usize = 2 * KEYS_MAX as usize;

/// The hashes of the keys; 0 where there is none. A key's number is its place, from 1.
static SLOT: [AtomicU64; SLOTS] = [const { AtomicU64::new(0) }; SLOTS];
static COUNT: AtomicU32 = AtomicU32::new(0);
static SEED: OnceLock<RandomState> = OnceLock::new();

/// Forgets all keys. Called while nothing is recorded.
pub fn reset() {
    SEED.get_or_init(RandomState::new);
    if COUNT.swap(0, Ordering::Relaxed) > 0 {
        SLOT.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }
}

/// `PlumbProbe.text(String, int)`: a method begins whose unit's key is this text.
///
/// # Safety
/// Only the JVM calls this.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_java_lang_PlumbProbe_text(
    env: *mut JNIEnv,
    _class: jclass,
    text: jobject,
    id: jint,
) {
    let epoch = GATE.epoch.load(Ordering::Relaxed);
    if epoch == DISARMED || id <= 0 {
        return;
    }
    guard((), || {
        // SAFETY: the JVM gave `env` to the calling thread for this call.
        let key = unsafe { Jni::new(env) }.map_or(0, |jni| of_text(jni, text, epoch));
        record(JvmRecord::pack(JvmKind::Enter, key, id as u32));
    });
}

/// `PlumbProbe.number(long, int)`: a method begins whose unit's key is this number.
#[unsafe(no_mangle)]
pub extern "system" fn Java_java_lang_PlumbProbe_number(_env: *mut JNIEnv, _class: jclass, number: jlong, id: jint) {
    let epoch = GATE.epoch.load(Ordering::Relaxed);
    if epoch == DISARMED || id <= 0 {
        return;
    }
    guard((), || {
        let key = number_of(epoch, &number, || number.to_string());
        record(JvmRecord::pack(JvmKind::Enter, key, id as u32));
    });
}

/// The number of a text's key; 0 of null.
fn of_text(jni: Jni, text: jobject, epoch: u64) -> u32 {
    if text.is_null() {
        return 0;
    }
    let mut characters = [0; TEXT_MAX];
    let (taken, is_cut) = jni.copy_text(text, &mut characters);
    number_of(epoch, &(taken, is_cut), || shown(taken, is_cut))
}

fn shown(characters: &[u16], is_cut: bool) -> String {
    // A pair of surrogates that was cut in two is no character.
    let whole = match characters {
        [whole @ .., 0xd800..=0xdbff] if is_cut => whole,
        all => all,
    };
    let end = if is_cut { "…" } else { "" };
    String::from_utf16_lossy(whole) + end
}

/// The number of a key, which `text` names if it is new.
fn number_of(epoch: u64, key: &impl Hash, text: impl Fn() -> String) -> u32 {
    let Some(seed) = SEED.get() else { return 0 };
    // With the session's number: what a thread that was late writes is no key of the next session.
    let hash = seed.hash_one((epoch, key)).max(1);
    let first = hash as usize % SLOTS;
    for at in (first..SLOTS).chain(0..first) {
        match SLOT[at].load(Ordering::Acquire) {
            0 => match claim(at, hash, epoch, &text) {
                Claim::Number(number) => return number,
                Claim::Taken => {}
            },
            known if known == hash => return at as u32 + 1,
            _ => {}
        }
    }
    JvmRecord::KEY_OTHER
}

enum Claim {
    /// The key has this number.
    Number(u32),
    /// Another thread was faster, with another key.
    Taken,
}

/// Takes a free place for a key that was not known.
#[cold]
fn claim(at: usize, hash: u64, epoch: u64, text: &impl Fn() -> String) -> Claim {
    if COUNT.load(Ordering::Relaxed) >= KEYS_MAX {
        return Claim::Number(JvmRecord::KEY_OTHER);
    }
    let session = Agent::get().and_then(Agent::session);
    let Some(session) = session.filter(|session| session.epoch() == epoch) else {
        return Claim::Number(0);
    };
    match SLOT[at].compare_exchange(0, hash, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            COUNT.fetch_add(1, Ordering::Relaxed);
            let definition = Definition::UnitKey {
                id: at as u32 + 1,
                key: text(),
            };
            session.definitions.write(session.now(), definition);
            Claim::Number(at as u32 + 1)
        }
        Err(known) if known == hash => Claim::Number(at as u32 + 1),
        Err(_) => Claim::Taken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_cut_says_so_and_no_character_is_halved() {
        let characters: Vec<u16> = "/shop/𝄞".encode_utf16().collect();
        assert_eq!(shown(&characters, false), "/shop/𝄞");
        assert_eq!(shown(&characters[..7], true), "/shop/…");
        assert_eq!(shown(&characters[..5], true), "/shop…");
    }
}
