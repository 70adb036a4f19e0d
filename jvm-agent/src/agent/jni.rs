//! JNI's functions that the agent uses. Each leaves no exception pending.

#![allow(unsafe_code, reason = "calls through the JVM's function table")]

use std::ffi::{CStr, c_void};
use std::ptr;

use jvmti_bindings::sys::jni::{
    JNI_VERSION_21, JNIEnv, JNINativeMethod, jclass, jfieldID, jint, jobject, jthread, jvalue,
};

/// The calling thread's JNI environment.
#[derive(Clone, Copy)]
pub struct Jni(*mut JNIEnv);

/// Calls a function of the table.
macro_rules! call {
    ($jni:expr, $function:ident $(, $argument:expr)* $(,)?) => {{
        let env = $jni.0;
        // SAFETY: the environment is the calling thread's (`Jni::new`); the references and pointers among the arguments are valid for the call.
        unsafe { ((**env).$function)(env $(, $argument)*) }
    }};
}

impl Jni {
    /// # Safety
    /// `env` is what the JVM gave the calling thread, and the value is not used after the call that it came with.
    pub unsafe fn new(env: *mut JNIEnv) -> Option<Jni> {
        (!env.is_null()).then_some(Jni(env))
    }

    /// Clears a pending exception; true if there was one.
    pub fn clear_exception(self) -> bool {
        let pending = call!(self, ExceptionCheck) != 0;
        if pending {
            call!(self, ExceptionClear);
        }
        pending
    }

    fn unless_thrown(self, reference: jobject) -> Option<jobject> {
        (!self.clear_exception() && !reference.is_null()).then_some(reference)
    }

    /// A class by its internal name.
    pub fn find_class(self, name: &CStr) -> Option<jclass> {
        let class = call!(self, FindClass, name.as_ptr());
        self.unless_thrown(class)
    }

    /// Defines a class in the boot loader.
    pub fn define_boot_class(self, name: &CStr, bytes: &[u8]) -> Option<jclass> {
        let class = call!(
            self,
            DefineClass,
            name.as_ptr(),
            ptr::null_mut(),
            bytes.as_ptr().cast(),
            bytes.len() as jint
        );
        self.unless_thrown(class)
    }

    /// Calls `static native void name(…)` with these arguments; false if it threw (an `UnsatisfiedLinkError`).
    pub fn call_static(self, class: jclass, name: &CStr, signature: &CStr, arguments: &[jvalue]) -> bool {
        let method = call!(self, GetStaticMethodID, class, name.as_ptr(), signature.as_ptr());
        if self.clear_exception() || method.is_null() {
            return false;
        }
        call!(self, CallStaticVoidMethodA, class, method, arguments.as_ptr());
        !self.clear_exception()
    }

    /// Gives a native method this function; false where the JVM does not take it.
    ///
    /// # Safety
    /// The function takes what such a method is called with, and stays for the process's life.
    pub unsafe fn register_native(self, class: jclass, name: &CStr, descriptor: &CStr, function: *mut c_void) -> bool {
        let method = JNINativeMethod {
            name: name.as_ptr(),
            signature: descriptor.as_ptr(),
            fnPtr: function,
        };
        let registered = call!(self, RegisterNatives, class, &raw const method, 1) == 0;
        !self.clear_exception() && registered
    }

    /// Copies the first characters of a `String`: those that fit, and whether there are more.
    pub fn copy_text(self, text: jobject, characters: &mut [u16]) -> (&[u16], bool) {
        let length = usize::try_from(call!(self, GetStringLength, text)).unwrap_or(0);
        let taken = length.min(characters.len());
        call!(self, GetStringRegion, text, 0, taken as jint, characters.as_mut_ptr());
        (&characters[..taken], length > taken)
    }

    /// Loads a class of the boot loader without initialising it. `name` has dots.
    pub fn load_boot_class(self, name: &CStr) -> Option<jclass> {
        let class = self.find_class(c"java/lang/Class")?;
        let signature = c"(Ljava/lang/String;ZLjava/lang/ClassLoader;)Ljava/lang/Class;";
        let method = call!(self, GetStaticMethodID, class, c"forName".as_ptr(), signature.as_ptr());
        if self.clear_exception() || method.is_null() {
            return None;
        }
        let name = call!(self, NewStringUTF, name.as_ptr());
        let name = self.unless_thrown(name)?;
        let arguments = [jvalue { l: name }, jvalue { z: 0 }, jvalue { l: ptr::null_mut() }];
        let loaded = call!(self, CallStaticObjectMethodA, class, method, arguments.as_ptr());
        self.unless_thrown(loaded)
    }

    /// `new Thread(group, name)`
    pub fn new_thread(self, group: jobject, name: &CStr) -> Option<jthread> {
        let class = self.find_class(c"java/lang/Thread")?;
        let signature = c"(Ljava/lang/ThreadGroup;Ljava/lang/String;)V";
        let constructor = call!(self, GetMethodID, class, c"<init>".as_ptr(), signature.as_ptr());
        if self.clear_exception() || constructor.is_null() {
            return None;
        }
        let name = call!(self, NewStringUTF, name.as_ptr());
        let name = self.unless_thrown(name)?;
        let arguments = [jvalue { l: group }, jvalue { l: name }];
        let thread = call!(self, NewObjectA, class, constructor, arguments.as_ptr());
        self.unless_thrown(thread)
    }

    /// A class's superclass; none of `Object` and of interfaces.
    pub fn superclass(self, class: jclass) -> Option<jclass> {
        let superclass = call!(self, GetSuperclass, class);
        self.unless_thrown(superclass)
    }

    /// Whether the first class is the second one or extends it.
    pub fn is_subclass(self, class: jclass, of: jclass) -> bool {
        call!(self, IsAssignableFrom, class, of) != 0
    }

    /// Whether both are the same object.
    pub fn is_same(self, one: jobject, other: jobject) -> bool {
        call!(self, IsSameObject, one, other) != 0
    }

    /// An object's class.
    pub fn class_of(self, object: jobject) -> jclass {
        call!(self, GetObjectClass, object)
    }

    /// A field of type long; none if there is no such field.
    pub fn long_field(self, class: jclass, name: &CStr) -> Option<jfieldID> {
        self.field(class, name, c"J")
    }

    /// A field of type `Object`; none if there is no such field.
    pub fn object_field(self, class: jclass, name: &CStr) -> Option<jfieldID> {
        self.field(class, name, c"Ljava/lang/Object;")
    }

    fn field(self, class: jclass, name: &CStr, signature: &CStr) -> Option<jfieldID> {
        let field = call!(self, GetFieldID, class, name.as_ptr(), signature.as_ptr());
        (!self.clear_exception() && !field.is_null()).then_some(field)
    }

    /// The field's value. `field` is of the object's class.
    pub fn get_long(self, object: jobject, field: jfieldID) -> i64 {
        call!(self, GetLongField, object, field)
    }

    /// The field's value, a local reference or null. `field` is of the object's class.
    pub fn get_object(self, object: jobject, field: jfieldID) -> jobject {
        call!(self, GetObjectField, object, field)
    }

    /// Whether there are virtual threads in this JVM.
    pub fn has_virtual_threads(self) -> bool {
        call!(self, GetVersion) >= JNI_VERSION_21
    }

    /// Whether the thread is a virtual one.
    pub fn is_virtual(self, thread: jthread) -> bool {
        self.has_virtual_threads() && call!(self, IsVirtualThread, thread) != 0
    }

    /// Gives a local reference back.
    pub fn delete_local(self, reference: jobject) {
        if !reference.is_null() {
            call!(self, DeleteLocalRef, reference);
        }
    }

    /// A weak global reference to an object, to be deleted.
    pub fn new_weak(self, object: jobject) -> Option<jobject> {
        let weak = call!(self, NewWeakGlobalRef, object);
        self.unless_thrown(weak)
    }

    /// Deletes a weak global reference.
    pub fn delete_weak(self, weak: jobject) {
        call!(self, DeleteWeakGlobalRef, weak);
    }

    /// A local reference; none to what the collector has taken.
    pub fn new_local(self, reference: jobject) -> Option<jobject> {
        let local = call!(self, NewLocalRef, reference);
        self.unless_thrown(local)
    }

    /// Runs `body`, then gives all local references back that it got.
    pub fn with_frame<T>(self, body: impl FnOnce() -> T) -> Option<T> {
        if call!(self, PushLocalFrame, 16) != 0 {
            self.clear_exception();
            return None;
        }
        let result = body();
        call!(self, PopLocalFrame, ptr::null_mut());
        Some(result)
    }

    /// Tells the JVM that this many local references are wanted.
    pub fn ensure_locals(self, count: usize) {
        call!(self, EnsureLocalCapacity, jint::try_from(count).unwrap_or(jint::MAX));
        self.clear_exception();
    }
}
