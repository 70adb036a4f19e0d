//! Telling what rules would match in this JVM, without changing anything: no event is on, no class is touched, no thread is made.
//!
//! It happens in the thread that the attach came in by, beside a session that may be going on. What the JVM does not tell without giving out class files are
//! annotations: of rules about them nothing is said.

use std::io;

use jvmti_bindings::sys::jni::jclass;
use plumb_filters::matcher::Matcher;

use super::Agent;
use super::control::Conversation;
use super::jni::Jni;
use super::jvmti::Jvmti;
use super::kin::Families;
use super::names::internal_of;
use crate::look::{LoadedClass, LoadedMethod, Told};

/// A message is sent when its classes have this many methods.
const METHODS: usize = 1000;

/// Tells who listens on `socket` the loaded classes that his rules name.
///
/// # Errors
/// Nobody listens, or what he says are no rules.
pub fn look_for(agent: &Agent, jni: Jni, socket: &str) -> io::Result<()> {
    let conversation = Conversation::connect(socket)?;
    let config = conversation.configuration()?;
    let matcher = match Matcher::parse(&config.matcher) {
        Ok(matcher) => matcher,
        Err(error) => {
            conversation.refuse(&error.to_string());
            return Ok(());
        }
    };
    let told = jni.with_frame(|| tell(agent.jvmti, jni, &matcher, &mut |told| conversation.tell(&told)));
    told.unwrap_or_else(|| Err(io::ErrorKind::OutOfMemory.into()))
}

fn tell(jvmti: Jvmti, jni: Jni, matcher: &Matcher, send: &mut dyn FnMut(Told) -> io::Result<()>) -> io::Result<()> {
    let classes = modifiable(jvmti, jni);
    let families = Families::default();
    if matcher.needs_kin() {
        for (class, name) in &classes {
            families.learn_loaded(jvmti, jni, *class, name);
        }
    }
    let (mut named, mut methods) = (Vec::new(), 0);
    for (class, name) in &classes {
        let supertypes = families.supertypes(name);
        if matcher.names_class(name, &supertypes) {
            let methods_told = methods_of(jvmti, *class);
            let class = LoadedClass {
                name: name.clone(),
                supertypes,
                linked: methods_told.is_some(),
                methods: methods_told.unwrap_or_default(),
            };
            methods += class.methods.len();
            named.push(class);
        }
        if methods >= METHODS || named.len() >= METHODS {
            send(Told::Classes(std::mem::take(&mut named)))?;
            methods = 0;
        }
    }
    send(Told::Classes(named))?;
    send(Told::End {
        loaded: classes.len() as u32,
    })
}

/// Loaded classes that may get probes. The references live in the current frame.
fn modifiable(jvmti: Jvmti, jni: Jni) -> Vec<(jclass, String)> {
    let classes = jvmti.loaded_classes().unwrap_or_default();
    jni.ensure_locals(classes.len() + 16);
    let named = classes.into_iter().filter_map(|class| {
        let signature = jvmti.class_signature(class).ok()?;
        // Arrays have no class file.
        let name = signature.starts_with('L').then(|| internal_of(&signature))?;
        jvmti.is_modifiable(class).then(|| (class, name.to_owned()))
    });
    named.collect()
}

/// None of a class that is not linked yet.
fn methods_of(jvmti: Jvmti, class: jclass) -> Option<Vec<LoadedMethod>> {
    let methods = jvmti.class_methods(class).ok()?;
    let told = methods.into_iter().filter_map(|method| {
        let (name, descriptor) = jvmti.method_signature(method).ok()?;
        Some(LoadedMethod {
            name,
            descriptor,
            code_bytes: jvmti.code_bytes(method),
        })
    });
    Some(told.collect())
}
