//! JVMTI's functions that the agent uses, with results and owned copies in place of pointers.
//!
//! Every function may be called from any thread of the JVM's in the phase that JVMTI's specification names; none keeps a reference.

#![allow(unsafe_code, reason = "calls through the JVM's function table")]

use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::ptr;

use jvmti_bindings::mutf8;
use jvmti_bindings::sys::jni::{JNI_OK, JNIEnv, JavaVM, jboolean, jclass, jint, jmethodID, jobject, jthread};
use jvmti_bindings::sys::jvmti::{
    JVMTI_CLASS_STATUS_ERROR, JVMTI_DISABLE, JVMTI_ENABLE, JVMTI_VERSION_9, jvmtiCapabilities, jvmtiEnv, jvmtiError,
    jvmtiEvent, jvmtiEventCallbacks, jvmtiExtensionEventCallback, jvmtiExtensionEventInfo, jvmtiFrameInfo,
    jvmtiThreadGroupInfo, jvmtiThreadInfo,
};

use super::method_ids;

/// A JVMTI environment. Valid for the JVM's life: plumb never disposes it.
#[derive(Clone, Copy)]
pub struct Jvmti(*mut jvmtiEnv);

// SAFETY: JVMTI's functions may be called from any thread.
unsafe impl Send for Jvmti {}
// SAFETY: as above.
unsafe impl Sync for Jvmti {}

/// What JVMTI answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JvmtiError(pub jint);

impl fmt::Display for JvmtiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JVMTI error {}", self.0)
    }
}

/// Calls a function of the table: `Err` for an error, and for a JVM that lacks the function.
macro_rules! call {
    ($jvmti:expr, $function:ident $(, $argument:expr)* $(,)?) => {{
        let env = $jvmti.0;
        // SAFETY: the environment is valid for the JVM's life, and so is its table; the pointers among the arguments are valid for the call.
        match unsafe { (*(*env).functions).$function } {
            // SAFETY: as above.
            Some(function) => check(unsafe { function(env $(, $argument)*) }),
            None => Err(JvmtiError(NOT_AVAILABLE)),
        }
    }};
}

const NOT_AVAILABLE: jint = 98;

fn check(error: jvmtiError) -> Result<(), JvmtiError> {
    if error == jvmtiError::NONE {
        Ok(())
    } else {
        Err(JvmtiError(error.raw()))
    }
}

/// A thread as the JVM describes it.
pub struct ThreadInfo {
    /// Name.
    pub name: String,
    /// Name of its group, or empty.
    pub group: String,
    /// Daemon.
    pub daemon: bool,
    /// Java priority.
    pub priority: u32,
}

/// A method that is being called. Its id is not to be used after the callback that gave it.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// The method.
    pub method: jmethodID,
    /// Where it is in its code; -1 in a native method.
    pub location: i64,
}

impl Jvmti {
    /// A new environment.
    ///
    /// # Safety
    /// `vm` is the JVM that called us.
    pub unsafe fn new(vm: *mut JavaVM) -> Option<Jvmti> {
        let mut env: *mut c_void = ptr::null_mut();
        // SAFETY: by contract `vm` is valid; `env` is ours.
        let status = unsafe { ((**vm).GetEnv)(vm, &raw mut env, JVMTI_VERSION_9) };
        (status == JNI_OK && !env.is_null()).then_some(Jvmti(env.cast()))
    }

    /// Asks for those of the `wanted` capabilities that can be had now.
    pub fn add_capabilities(self, wanted: fn(&mut jvmtiCapabilities, &jvmtiCapabilities)) -> Result<(), JvmtiError> {
        let mut potential = jvmtiCapabilities::default();
        call!(self, GetPotentialCapabilities, &raw mut potential)?;
        let mut capabilities = jvmtiCapabilities::default();
        wanted(&mut capabilities, &potential);
        call!(self, AddCapabilities, &raw const capabilities)
    }

    /// Gives capabilities back.
    pub fn relinquish_capabilities(self, capabilities: &jvmtiCapabilities) -> Result<(), JvmtiError> {
        call!(self, RelinquishCapabilities, ptr::from_ref(capabilities))
    }

    /// Sets (and turns on) or takes away (and turns off) the function of HotSpot's own event of this name; false if the JVM has no such event.
    pub fn set_extension_event(self, id: &CStr, callback: jvmtiExtensionEventCallback) -> bool {
        let Some(index) = self.extension_event(id) else {
            return false;
        };
        // A function alone is not enough: the event is turned on under its index, as others are under their numbers.
        let turned_off = callback.is_some() || self.set_event(index as jvmtiEvent, false).is_ok();
        let set = call!(self, SetExtensionEventCallback, index, callback).is_ok();
        turned_off && set && (callback.is_none() || self.set_event(index as jvmtiEvent, true).is_ok())
    }

    fn extension_event(self, id: &CStr) -> Option<jint> {
        let (mut count, mut infos) = (0, ptr::null_mut());
        call!(self, GetExtensionEvents, &raw mut count, &raw mut infos).ok()?;
        let mut found = None;
        for info in self.take_array::<jvmtiExtensionEventInfo>(infos, count) {
            // SAFETY: the JVM gives C strings.
            if !info.id.is_null() && unsafe { CStr::from_ptr(info.id) } == id {
                found = Some(info.extension_event_index);
            }
            self.free_extension_event(&info);
        }
        found
    }

    fn free_extension_event(self, info: &jvmtiExtensionEventInfo) {
        if !info.params.is_null() {
            // SAFETY: the JVM says that so many parameters are described there.
            let params =
                unsafe { std::slice::from_raw_parts(info.params, usize::try_from(info.param_count).unwrap_or(0)) };
            params.iter().for_each(|param| self.free(param.name.cast()));
        }
        self.free(info.params.cast());
        self.free(info.id.cast());
        self.free(info.short_description.cast());
    }

    /// Sets the functions that events call.
    pub fn set_callbacks(self, callbacks: &jvmtiEventCallbacks) -> Result<(), JvmtiError> {
        // A JVM that knows fewer events takes the begin of the table.
        let size = size_of::<jvmtiEventCallbacks>() as jint;
        call!(self, SetEventCallbacks, ptr::from_ref(callbacks), size)
    }

    /// Turns an event on or off, for all threads.
    pub fn set_event(self, event: jvmtiEvent, on: bool) -> Result<(), JvmtiError> {
        let mode = if on { JVMTI_ENABLE } else { JVMTI_DISABLE };
        call!(self, SetEventNotificationMode, mode, event, ptr::null_mut())
    }

    /// All loaded classes, as local references of the calling thread.
    pub fn loaded_classes(self) -> Result<Vec<jclass>, JvmtiError> {
        let (mut count, mut classes) = (0, ptr::null_mut());
        call!(self, GetLoadedClasses, &raw mut count, &raw mut classes)?;
        Ok(self.take_array(classes, count))
    }

    /// All live platform threads, as local references of the calling thread.
    pub fn all_threads(self) -> Result<Vec<jthread>, JvmtiError> {
        let (mut count, mut threads) = (0, ptr::null_mut());
        call!(self, GetAllThreads, &raw mut count, &raw mut threads)?;
        Ok(self.take_array(threads, count))
    }

    /// The calling thread, a virtual one if it runs one; a local reference.
    pub fn current_thread(self) -> Result<jthread, JvmtiError> {
        let mut thread = ptr::null_mut();
        call!(self, GetCurrentThread, &raw mut thread).map(|()| thread)
    }

    /// The groups at the top (`system`), as local references of the calling thread.
    pub fn top_thread_groups(self) -> Result<Vec<jobject>, JvmtiError> {
        let (mut count, mut groups) = (0, ptr::null_mut());
        call!(self, GetTopThreadGroups, &raw mut count, &raw mut groups)?;
        Ok(self.take_array(groups, count))
    }

    /// A class's signature: `Ljava/lang/Object;`.
    pub fn class_signature(self, class: jclass) -> Result<String, JvmtiError> {
        let mut signature = ptr::null_mut();
        call!(self, GetClassSignature, class, &raw mut signature, ptr::null_mut())?;
        Ok(self.take_string(signature))
    }

    /// The interfaces that a class names, as local references of the calling thread. (An error for a class that is not linked yet.)
    pub fn interfaces(self, class: jclass) -> Result<Vec<jclass>, JvmtiError> {
        let (mut count, mut interfaces) = (0, ptr::null_mut());
        call!(
            self,
            GetImplementedInterfaces,
            class,
            &raw mut count,
            &raw mut interfaces
        )?;
        Ok(self.take_array(interfaces, count))
    }

    /// The methods of a class. (An error for a class that is not linked yet.)
    pub fn class_methods(self, class: jclass) -> Result<Vec<jmethodID>, JvmtiError> {
        let (mut count, mut methods) = (0, ptr::null_mut());
        call!(self, GetClassMethods, class, &raw mut count, &raw mut methods)?;
        Ok(self.take_array(methods, count))
    }

    /// Name and descriptor of a method of a class that is still referred to.
    pub fn method_signature(self, method: jmethodID) -> Result<(String, String), JvmtiError> {
        let (mut name, mut descriptor) = (ptr::null_mut(), ptr::null_mut());
        call!(
            self,
            GetMethodName,
            method,
            &raw mut name,
            &raw mut descriptor,
            ptr::null_mut()
        )?;
        Ok((self.take_string(name), self.take_string(descriptor)))
    }

    /// Length of a method's code, bytes; `None` for native and abstract methods.
    pub fn code_bytes(self, method: jmethodID) -> Option<u32> {
        let (mut first, mut last) = (0, 0);
        call!(self, GetMethodLocation, method, &raw mut first, &raw mut last).ok()?;
        u32::try_from(last).ok()?.checked_add(1)
    }

    /// Whether the class may be retransformed at all.
    pub fn is_modifiable(self, class: jclass) -> bool {
        let mut modifiable: jboolean = 0;
        call!(self, IsModifiableClass, class, &raw mut modifiable).is_ok() && modifiable != 0
    }

    /// Whether the class cannot be used, because its initialiser failed.
    pub fn is_erroneous(self, class: jclass) -> bool {
        let mut status = 0;
        call!(self, GetClassStatus, class, &raw mut status).is_ok() && status & JVMTI_CLASS_STATUS_ERROR != 0
    }

    /// Runs the class-file hook over loaded classes. One that fails fails all.
    pub fn retransform(self, classes: &[jclass]) -> Result<(), JvmtiError> {
        call!(self, RetransformClasses, classes.len() as jint, classes.as_ptr())
    }

    /// Name, group, and so on. `jni` is the calling thread's, to give references back.
    pub fn thread_info(self, jni: super::jni::Jni, thread: jthread) -> Result<ThreadInfo, JvmtiError> {
        let mut info = jvmtiThreadInfo::default();
        call!(self, GetThreadInfo, thread, &raw mut info)?;
        let group = if info.thread_group.is_null() {
            String::new()
        } else {
            self.thread_group_name(jni, info.thread_group)
        };
        jni.delete_local(info.thread_group);
        jni.delete_local(info.context_class_loader);
        let (name, priority) = (self.take_string(info.name), u32::try_from(info.priority).unwrap_or(0));
        Ok(ThreadInfo {
            name,
            group,
            daemon: info.is_daemon != 0,
            priority,
        })
    }

    fn thread_group_name(self, jni: super::jni::Jni, group: jobject) -> String {
        let mut info = jvmtiThreadGroupInfo::default();
        if call!(self, GetThreadGroupInfo, group, &raw mut info).is_err() {
            return String::new();
        }
        jni.delete_local(info.parent);
        self.take_string(info.name)
    }

    /// `System.identityHashCode`
    pub fn identity_hash(self, object: jobject) -> Result<u32, JvmtiError> {
        let mut hash = 0;
        call!(self, GetObjectHashCode, object, &raw mut hash).map(|()| hash as u32)
    }

    /// A property that the JVM was started with, as `java.vm.name`.
    pub fn system_property(self, name: &CStr) -> Result<String, JvmtiError> {
        let mut value = ptr::null_mut();
        call!(self, GetSystemProperty, name.as_ptr(), &raw mut value)?;
        Ok(self.take_string(value))
    }

    /// Starts `run` in a new daemon thread, which `thread` is the Java object of.
    pub fn run_agent_thread(
        self,
        thread: jthread,
        run: unsafe extern "system" fn(*mut jvmtiEnv, *mut JNIEnv, *mut c_void),
    ) -> Result<(), JvmtiError> {
        const NORMAL_PRIORITY: jint = 5;
        call!(self, RunAgentThread, thread, Some(run), ptr::null(), NORMAL_PRIORITY)
    }

    /// The calling thread's stack, at most so many frames from the top.
    pub fn own_stack(self, frames_max: usize) -> Result<Vec<Frame>, JvmtiError> {
        // By its name: for a thread that is not named, JVMs from 21 on hold up all virtual threads until the stack is told.
        self.stack_of(self.current_thread()?, frames_max)
    }

    /// The stack of a platform thread, at most so many frames from the top; an error also where others ask for stacks all the while, see [`method_ids`].
    pub fn stack_of(self, thread: jthread, frames_max: usize) -> Result<Vec<Frame>, JvmtiError> {
        method_ids::alone(|| self.stack_now(thread, frames_max)).unwrap_or(Err(JvmtiError(NOT_AVAILABLE)))
    }

    fn stack_now(self, thread: jthread, frames_max: usize) -> Result<Vec<Frame>, JvmtiError> {
        let mut frames = vec![jvmtiFrameInfo::default(); frames_max];
        let mut count: jint = 0;
        let (max, first) = (frames_max as jint, frames.as_mut_ptr());
        call!(self, GetStackTrace, thread, 0, max, first, &raw mut count)?;
        frames.truncate(usize::try_from(count).unwrap_or(0));
        let frame = |info: jvmtiFrameInfo| Frame {
            method: info.method,
            location: info.location,
        };
        Ok(frames.into_iter().map(frame).collect())
    }

    /// The class that declares a method, a local reference. The method id is one that was given in the current callback.
    pub fn declaring_class(self, method: jmethodID) -> Result<jclass, JvmtiError> {
        let mut class = ptr::null_mut();
        call!(self, GetMethodDeclaringClass, method, &raw mut class).map(|()| class)
    }

    /// A method's name. The method id is one that was given in the current callback.
    pub fn method_name(self, method: jmethodID) -> Result<String, JvmtiError> {
        let mut name = ptr::null_mut();
        let none = ptr::null_mut();
        call!(self, GetMethodName, method, &raw mut name, none, none)?;
        Ok(self.take_string(name))
    }

    /// How many bytes are allocated between two samples of it, in the mean.
    pub fn set_sampling_interval(self, bytes: u64) -> Result<(), JvmtiError> {
        let bytes = jint::try_from(bytes).unwrap_or(jint::MAX);
        call!(self, SetHeapSamplingInterval, bytes)
    }

    /// Whether the method is a native one.
    pub fn is_native(self, method: jmethodID) -> bool {
        let mut native: jboolean = 0;
        call!(self, IsMethodNative, method, &raw mut native).is_ok() && native != 0
    }

    /// A copy of `bytes` in memory that the JVM frees.
    pub fn copy_of(self, bytes: &[u8]) -> Result<*mut u8, JvmtiError> {
        let mut memory = ptr::null_mut();
        call!(self, Allocate, bytes.len() as i64, &raw mut memory)?;
        // SAFETY: the JVM gave this many bytes.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), memory, bytes.len()) };
        Ok(memory)
    }

    /// Copies what the JVM allocated, and frees it.
    fn take_array<T: Copy>(self, array: *mut T, count: jint) -> Vec<T> {
        if array.is_null() {
            return Vec::new();
        }
        // SAFETY: the JVM says that `count` elements stand there.
        let copy = unsafe { std::slice::from_raw_parts(array, usize::try_from(count).unwrap_or(0)) }.to_vec();
        self.free(array.cast());
        copy
    }

    fn take_string(self, text: *mut c_char) -> String {
        if text.is_null() {
            return String::new();
        }
        // SAFETY: the JVM gives C strings.
        let copy = mutf8::decode_cstr_lossy(unsafe { CStr::from_ptr(text) });
        self.free(text.cast());
        copy
    }

    fn free(self, memory: *mut u8) {
        // An error would mean that the memory is none of the JVM's: then it is not ours to free either.
        let _ = call!(self, Deallocate, memory);
    }
}
