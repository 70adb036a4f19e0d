//! Puts probes into methods: class file in, class file out.
//!
//! A probed method calls `enter(id)` first, `exit(id)` before each return, and `thrown(id)` when an exception leaves it:
//!
//! ```text
//!         enter(id)                      targets of jumps to the method's begin: after this
//!         …
//!         exit(id)                       jumps to the return land before this
//!         xreturn
//!         …
//! handler: thrown(id)                    one handler, after all others, for whatever was not caught
//!         athrow
//! ```
//! Where the selector asks for it ([`Begin`]), a method tells one of its arguments at its begin, in place of `enter(id)`.
//!
//! In a constructor the probes begin after the call of `super(…)` or `this(…)`: before it, `this` is not an object that
//! a handler may see, and an enter without a handler would be an enter without an end. So on every path out of a
//! method that entered, exactly one of `exit` and `thrown` is called.
//!
//! How it stays safe inside somebody's production JVM:
//! - the constant pool is only appended to, and bytes outside of the chosen bodies are copied as they are;
//! - a body that cannot be moved with certainty is left alone, and [`Reason`] says why;
//! - the handler's frame has no locals, which is true of any body.
//!
//! What is absent: attributes of a body that the JVM does not know (they may hold offsets), in bodies with probes.

mod body;
mod constructor;
mod helper;
mod plan;
mod reason;
mod sites;
mod snippets;
mod tables;
#[cfg(test)]
mod tests;
mod type_annotations;

use std::ops::Range;

use crate::classfile::pool::Additions;
use crate::classfile::{Attribute, ClassError, ClassView, Method, access};
use body::Body;
pub use helper::{RELAY, helper_class};
use plan::Plan;
pub use reason::Reason;
use snippets::{PoolRefs, Snippets};

/// The static methods that probes call: three of descriptor `(I)V`, with the probe's id, and those that take an argument of the method as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probes<'a> {
    /// Internal name of the class that has them; visible to every probed class.
    pub class: &'a str,
    /// Called when a method begins.
    pub enter: &'a str,
    /// Called when a method returns.
    pub exit: &'a str,
    /// Called when an exception leaves a method.
    pub thrown: &'a str,
    /// Of descriptor `(Ljava/lang/Object;)V`: called in place of `enter` where the selector says so.
    pub object: &'a str,
    /// Of descriptor `(Ljava/lang/String;I)V`: called with a text and the id in place of `enter` where the selector says so.
    pub text: &'a str,
    /// Of descriptor `(JI)V`: called with a number and the id in place of `enter` where the selector says so.
    pub number: &'a str,
    /// Of descriptor `(Ljava/lang/Object;I)V`: called with an object and the id in place of `enter` where the selector says so.
    pub given: &'a str,
}

/// How a method's begin is told. Local variables are those of the method's begin: `this`, if there is one, then the arguments. A constructor's begin is told by
/// `enter` always, since its arguments may have been changed before `super(…)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Begin {
    /// By `enter(id)`.
    #[default]
    Enter,
    /// By `object(first argument)`; of a method that is not static or has no object as its first argument, by `object(null)`.
    Object,
    /// By `text(argument, id)`, of the `String` in this local variable.
    Text(u16),
    /// By `number(argument, id)`, of the `int`, `short` or `byte` in this local variable.
    Int(u16),
    /// By `number(argument, id)`, of the `long` in this local variable.
    Long(u16),
    /// By `given(argument, id)`, of the object in this local variable.
    Given(u16),
}

/// A method was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The id that its probes call with.
    pub id: u32,
    /// How its begin is told.
    pub begin: Begin,
}

impl From<u32> for Choice {
    fn from(id: u32) -> Choice {
        Choice {
            id,
            begin: Begin::Enter,
        }
    }
}

impl Probes<'static> {
    /// plumb's own: natives in `java/lang`, which every class loader sees.
    pub const PLUMB: Self = Probes {
        class: "java/lang/PlumbProbe",
        enter: "enter",
        exit: "exit",
        thrown: "thrown",
        object: "parks",
        text: "text",
        number: "number",
        given: "given",
    };
}

/// A method, for a [`Selector`] to judge.
#[derive(Debug, Clone, Copy)]
pub struct MethodInfo<'a> {
    /// Name; `<init>` is a constructor, `<clinit>` the class initialiser.
    pub name: &'a str,
    /// Descriptor, as in `(ILjava/lang/String;)V`.
    pub descriptor: &'a str,
    /// Access flags, see [`access`].
    pub access: u16,
    /// Length of the bytecode in bytes; 0 for abstract and native methods.
    pub code_len: u32,
}

/// Says which methods get probes.
pub trait Selector {
    /// The probe id for a method of `class` (internal name, as in `java/util/Map$Entry`), or none to leave it as it is.
    fn select(&mut self, class: &str, method: &MethodInfo<'_>) -> Option<Choice>;
}

impl<F: FnMut(&str, &MethodInfo<'_>) -> Option<u32>> Selector for F {
    fn select(&mut self, class: &str, method: &MethodInfo<'_>) -> Option<Choice> {
        self(class, method).map(Into::into)
    }
}

/// A method that got probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// The id its probes call with.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its descriptor.
    pub descriptor: String,
}

/// A method that was chosen and got no probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    /// Its name.
    pub name: String,
    /// Its descriptor.
    pub descriptor: String,
    /// Why.
    pub reason: Reason,
}

/// What became of a class with at least one chosen method.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The class file; the original bytes if `probed` is empty.
    pub bytes: Vec<u8>,
    /// The methods with probes.
    pub probed: Vec<Probed>,
    /// The methods that were chosen but could not be probed safely.
    pub left_alone: Vec<LeftAlone>,
}

/// Puts probes into the methods of `class` that `selector` chooses. None: it chose none.
///
/// # Errors
/// If `class` is no class file. A chosen body with mistakes is no error but left alone.
pub fn rewrite(
    class: &[u8],
    probes: &Probes<'_>,
    selector: &mut dyn Selector,
) -> Result<Option<Rewritten>, ClassError> {
    let view = ClassView::parse(class)?;
    let name = view.name();
    if name == probes.class {
        return Ok(None);
    }
    let mut job = Job::new(&view, *probes);
    for method in &view.methods {
        let (method_name, descriptor) = (method.name(), method.descriptor());
        let code_len = method.code_len();
        let info = MethodInfo {
            name: &method_name,
            descriptor: &descriptor,
            access: method.access,
            code_len,
        };
        if let Some(choice) = selector.select(&name, &info) {
            job.probe(method, choice);
        }
    }
    Ok(job.finish())
}

/// Takes every body apart and puts it together again without probes. What this returns is what was given, byte for
/// byte, if and only if plumb understands every instruction, frame and table of the class: a check for tests.
///
/// # Errors
/// The first reason for which a body would be left alone.
pub fn round_trip(class: &[u8]) -> Result<Vec<u8>, Reason> {
    let view = ClassView::parse(class)?;
    let mut edits = Vec::new();
    for code in view.methods.iter().filter_map(|method| method.code) {
        let body = Body::parse(&view, &code)?;
        let rebuilt = body.rebuild(&Plan::nothing(), &Snippets::none())?;
        edits.push(Edit::of(&code, rebuilt));
    }
    Ok(splice(&view, &Additions::after(view.pool.count()), &edits))
}

/// New data for an attribute.
struct Edit {
    /// The attribute's length and data, in the original class file.
    replaced: Range<usize>,
    data: Vec<u8>,
}

impl Edit {
    fn of(attribute: &Attribute<'_>, data: Vec<u8>) -> Self {
        let end = attribute.length_at + 4 + attribute.data.len();
        Self {
            replaced: attribute.length_at..end,
            data,
        }
    }
}

/// A class on its way to its probes.
struct Job<'a, 'v> {
    view: &'v ClassView<'a>,
    probes: Probes<'v>,
    additions: Additions,
    refs: Option<PoolRefs>,
    edits: Vec<Edit>,
    probed: Vec<Probed>,
    left_alone: Vec<LeftAlone>,
}

impl<'a, 'v> Job<'a, 'v> {
    fn new(view: &'v ClassView<'a>, probes: Probes<'v>) -> Self {
        let additions = Additions::after(view.pool.count());
        Self {
            view,
            probes,
            additions,
            refs: None,
            edits: Vec::new(),
            probed: Vec::new(),
            left_alone: Vec::new(),
        }
    }

    fn probe(&mut self, method: &Method<'a>, choice: Choice) {
        let (name, descriptor) = (method.name().into_owned(), method.descriptor().into_owned());
        let (mark, refs) = (self.additions.mark(), self.refs);
        match self.try_probe(method, choice) {
            Ok(edit) => {
                self.edits.push(edit);
                self.probed.push(Probed {
                    id: choice.id,
                    name,
                    descriptor,
                });
            }
            Err(reason) => {
                self.additions.back_to(mark);
                self.refs = refs;
                self.left_alone.push(LeftAlone {
                    name,
                    descriptor,
                    reason,
                });
            }
        }
    }

    fn try_probe(&mut self, method: &Method<'a>, choice: Choice) -> Result<Edit, Reason> {
        let code = method.code.ok_or(match method.access & access::NATIVE {
            0 => Reason::Abstract,
            _ => Reason::Native,
        })?;
        let body = Body::parse(self.view, &code)?;
        let plan = Plan::of(self.view, method, &body)?;
        let refs = match self.refs {
            Some(refs) => refs,
            None => PoolRefs::add(&mut self.additions, &self.probes)?,
        };
        self.refs = Some(refs);
        let mut snippets = Snippets::new(&mut self.additions, refs, choice.id)?;
        if choice.begin == Begin::Object {
            let has_object = method.access & access::STATIC != 0 && method.descriptor.starts_with(b"(L");
            snippets.enter = snippets::object(&mut self.additions, &self.probes, has_object)?;
        } else if choice.begin != Begin::Enter && method.name != b"<init>" {
            snippets.tell_argument(&mut self.additions, &self.probes, choice)?;
        }
        Ok(Edit::of(&code, body.rebuild(&plan, &snippets)?))
    }

    fn finish(self) -> Option<Rewritten> {
        if self.probed.is_empty() && self.left_alone.is_empty() {
            return None;
        }
        let bytes = match self.edits[..] {
            [] => self.view.bytes.to_vec(),
            _ => splice(self.view, &self.additions, &self.edits),
        };
        Some(Rewritten {
            bytes,
            probed: self.probed,
            left_alone: self.left_alone,
        })
    }
}

/// The class file with `additions` at the end of its constant pool and with `edits`, which are in order.
fn splice(view: &ClassView<'_>, additions: &Additions, edits: &[Edit]) -> Vec<u8> {
    const POOL_COUNT: Range<usize> = 8..10;
    let original = view.bytes;
    let growth: usize = edits.iter().map(|edit| edit.data.len()).sum();
    let mut bytes = Vec::with_capacity(original.len() + additions.bytes().len() + growth);
    bytes.extend_from_slice(&original[..POOL_COUNT.start]);
    bytes.extend_from_slice(&additions.pool_count().to_be_bytes());
    bytes.extend_from_slice(&original[POOL_COUNT.end..view.pool_end]);
    bytes.extend_from_slice(additions.bytes());
    let mut copied = view.pool_end;
    for Edit { replaced, data } in edits {
        bytes.extend_from_slice(&original[copied..replaced.start]);
        // Bodies are far shorter than 4 GiB: 64 KiB of code, and tables that grew from ones that had a 32-bit length
        // by less than a hundred bytes (`Body::rebuild` refuses more).
        bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        bytes.extend_from_slice(data);
        copied = replaced.end;
    }
    bytes.extend_from_slice(&original[copied..]);
    bytes
}
