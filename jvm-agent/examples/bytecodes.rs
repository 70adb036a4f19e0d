//! An agent for tests alone: writes the bytecode that runs now of some classes' methods into a file, to compare; beside it the sizes of these classes' constant pools, and
//! how many classes there are.
//!
//! Options: `FILE,Class,Class,…`, classes by their internal names. Ask for it by the attach protocol's `load`.

#![allow(unsafe_code, missing_docs, reason = "a JVMTI agent for tests")]

use std::ffi::{CStr, c_char, c_void};
use std::fmt::Write;
use std::{ptr, slice};

use jvmti_bindings::sys::jni::{JavaVM, jint};
use jvmti_bindings::sys::jvmti::{JVMTI_VERSION_9, jvmtiCapabilities, jvmtiEnv, jvmtiError};

macro_rules! call {
    ($env:expr, $function:ident $(, $argument:expr)*) => {
        ((*(*$env).functions).$function.expect("a JVMTI function"))($env $(, $argument)*) == jvmtiError::NONE
    };
}

/// # Safety
/// Only a JVM calls this, with its own arguments.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Agent_OnAttach(vm: *mut JavaVM, options: *const c_char, _reserved: *mut c_void) -> jint {
    // SAFETY: the JVM's arguments; the functions are called as JVMTI specifies. What is allocated is not freed: the JVM is a test's.
    unsafe {
        let options = CStr::from_ptr(options).to_string_lossy();
        let mut words = options.split(',');
        let file = words.next().unwrap_or_default().to_owned();
        let wanted: Vec<String> = words.map(|class| format!("L{class};")).collect();
        let mut env: *mut jvmtiEnv = ptr::null_mut();
        ((**vm).GetEnv)(vm, (&raw mut env).cast(), JVMTI_VERSION_9);
        let mut capabilities = jvmtiCapabilities::default();
        capabilities.set_can_get_bytecodes(true);
        capabilities.set_can_get_constant_pool(true);
        if !call!(env, AddCapabilities, &raw const capabilities) {
            return 1;
        }
        let lines = bytecodes(env, &wanted);
        jint::from(std::fs::write(file, lines).is_err())
    }
}

/// # Safety
/// `env` is a live JVMTI environment that may get bytecodes.
unsafe fn bytecodes(env: *mut jvmtiEnv, wanted: &[String]) -> String {
    let mut lines = String::new();
    // SAFETY: by contract; every pointer is ours and every count is the JVM's.
    unsafe {
        let (mut count, mut classes) = (0, ptr::null_mut());
        assert!(call!(env, GetLoadedClasses, &raw mut count, &raw mut classes));
        writeln!(lines, "classes {count}").expect("a string takes it");
        for &class in slice::from_raw_parts(classes, count as usize) {
            let mut signature = ptr::null_mut();
            assert!(call!(
                env,
                GetClassSignature,
                class,
                &raw mut signature,
                ptr::null_mut()
            ));
            let signature = CStr::from_ptr(signature).to_string_lossy();
            if !wanted.iter().any(|wanted| *wanted == signature) {
                continue;
            }
            let (mut entries, mut bytes, mut pool) = (0, 0, ptr::null_mut());
            assert!(call!(
                env,
                GetConstantPool,
                class,
                &raw mut entries,
                &raw mut bytes,
                &raw mut pool
            ));
            writeln!(lines, "pool {signature} {entries} {bytes}").expect("a string takes it");
            let (mut count, mut methods) = (0, ptr::null_mut());
            // One that is loaded and not linked yet has none.
            if !call!(env, GetClassMethods, class, &raw mut count, &raw mut methods) {
                continue;
            }
            for &method in slice::from_raw_parts(methods, count as usize) {
                let (mut name, mut descriptor) = (ptr::null_mut(), ptr::null_mut());
                assert!(call!(
                    env,
                    GetMethodName,
                    method,
                    &raw mut name,
                    &raw mut descriptor,
                    ptr::null_mut()
                ));
                let (name, descriptor) = (CStr::from_ptr(name), CStr::from_ptr(descriptor));
                let (mut length, mut code) = (0, ptr::null_mut());
                if call!(env, GetBytecodes, method, &raw mut length, &raw mut code) {
                    let code = slice::from_raw_parts(code, length as usize);
                    let (name, descriptor) = (name.to_string_lossy(), descriptor.to_string_lossy());
                    writeln!(lines, "{signature} {name}{descriptor} {code:02x?}").expect("a string takes it");
                }
            }
        }
    }
    lines
}
