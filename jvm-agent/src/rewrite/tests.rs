//! Bodies written by hand: what compilers write seldom, and what none does.

use super::*;
use crate::classfile::instructions::{Instructions, op};

const PROBES: Probes<'static> = Probes {
    class: "P",
    enter: "e",
    exit: "x",
    thrown: "t",
    object: "o",
    text: "s",
    number: "n",
    given: "g",
};
/// Push 1 and call: the four bytes of a probe, without its method.
const PROBE_LEN: usize = 4;

/// A class with one method, put together by the test.
struct Sample {
    major: u8,
    name: &'static str,
    descriptor: &'static str,
    max_stack: u16,
    code: Vec<u8>,
    /// start, end, handler, class
    handlers: Vec<[u16; 4]>,
    /// Attributes of the body by name.
    attributes: Vec<(&'static str, Vec<u8>)>,
}

/// Pool indices of a sample's own entries.
mod own {
    /// The method `S.<init>()V`; `S` extends `B`.
    pub const THIS_INIT: u8 = 9;
    /// The method `B.<init>()V`.
    pub const SUPER_INIT: u8 = 11;
    /// The class `B`.
    pub const SUPER: u8 = 4;
    pub const COUNT: usize = 12;
}

impl Sample {
    fn new(code: &[u8]) -> Self {
        let (handlers, attributes) = (Vec::new(), Vec::new());
        Self {
            major: 52,
            name: "m",
            descriptor: "()V",
            max_stack: 1,
            code: code.to_vec(),
            handlers,
            attributes,
        }
    }

    fn constructor(code: &[u8]) -> Self {
        Self {
            name: "<init>",
            ..Self::new(code)
        }
    }

    fn frames(mut self, table: &[u8]) -> Self {
        self.attributes.push(("StackMapTable", table.to_vec()));
        self
    }

    fn body(&self, pool: &mut Additions) -> Vec<u8> {
        let mut data = [self.max_stack.to_be_bytes(), [0, 9]].concat();
        data.extend((self.code.len() as u32).to_be_bytes());
        data.extend(&self.code);
        data.extend((self.handlers.len() as u16).to_be_bytes());
        data.extend(self.handlers.iter().flatten().flat_map(|number| number.to_be_bytes()));
        data.extend((self.attributes.len() as u16).to_be_bytes());
        for (name, content) in &self.attributes {
            data.extend(pool.utf8(name).unwrap().to_be_bytes());
            data.extend((content.len() as u32).to_be_bytes());
            data.extend(content);
        }
        data
    }

    fn class(&self) -> Vec<u8> {
        let mut pool = Additions::after(1);
        let (this, parent) = (pool.class("S").unwrap(), pool.class("B").unwrap());
        let (init, void) = (pool.utf8("<init>").unwrap(), pool.utf8("()V").unwrap());
        pool.utf8("spare").unwrap();
        assert_eq!(pool.method(this, init, void), Ok(own::THIS_INIT.into()));
        assert_eq!(pool.method(parent, init, void), Ok(own::SUPER_INIT.into()));
        assert_eq!((parent, pool.pool_count()), (own::SUPER.into(), own::COUNT as u16));
        let names = [self.name, self.descriptor, "Code"].map(|name| pool.utf8(name).unwrap());
        let body = self.body(&mut pool);
        let mut bytes = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, self.major];
        bytes.extend(pool.pool_count().to_be_bytes());
        bytes.extend(pool.bytes());
        let words = [0x21, this, parent, 0, 0, 1, 1, names[0], names[1], 1, names[2]];
        bytes.extend(words.into_iter().flat_map(u16::to_be_bytes));
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
        bytes.extend([0, 0]);
        bytes
    }

    fn rewritten(&self) -> Rewritten {
        let class = self.class();
        assert_eq!(
            round_trip(&class).as_ref(),
            Ok(&class),
            "without probes nothing changes"
        );
        rewrite(&class, &PROBES, &mut |_: &str, _: &MethodInfo<'_>| Some(1))
            .unwrap()
            .unwrap()
    }

    /// The body with probes.
    fn probed(&self) -> Out {
        let rewritten = self.rewritten();
        assert_eq!(rewritten.left_alone, []);
        Out::parse(&rewritten.bytes)
    }

    fn left_alone(&self) -> Reason {
        let class = self.class();
        let rewritten = rewrite(&class, &PROBES, &mut |_: &str, _: &MethodInfo<'_>| Some(1))
            .unwrap()
            .unwrap();
        assert_eq!((rewritten.probed.len(), rewritten.bytes == class), (0, true));
        rewritten.left_alone[0].reason
    }
}

/// A body as it came out.
struct Out {
    max_stack: u16,
    /// Instructions, with each probe as one letter: e, x, t.
    listing: String,
    code: Vec<u8>,
    handlers: Vec<[u16; 4]>,
    attributes: Vec<(String, Vec<u8>)>,
}

impl Out {
    fn parse(class: &[u8]) -> Self {
        let view = ClassView::parse(class).unwrap();
        let mut reader = view.methods[0].code.unwrap().reader();
        let (max_stack, _locals) = (reader.u16().unwrap(), reader.u16().unwrap());
        let length = reader.u32().unwrap();
        let code = reader.take(length as usize).unwrap().to_vec();
        let mut handlers = Vec::new();
        for _ in 0..reader.u16().unwrap() {
            handlers.push([(); 4].map(|()| reader.u16().unwrap()));
        }
        let mut attributes = Vec::new();
        for _ in 0..reader.u16().unwrap() {
            let attribute = Attribute::parse(&view.pool, &mut reader).unwrap();
            attributes.push((
                String::from_utf8(attribute.name.to_vec()).unwrap(),
                attribute.data.to_vec(),
            ));
        }
        let listing = listing(&view, &code);
        Self {
            max_stack,
            listing,
            code,
            handlers,
            attributes,
        }
    }

    fn attribute(&self, name: &str) -> &[u8] {
        &self.attributes.iter().find(|(found, _)| found == name).unwrap().1
    }

    /// Distance of the 16-bit jump at `pc`.
    fn jump(&self, pc: usize) -> i16 {
        i16::from_be_bytes([self.code[pc + 1], self.code[pc + 2]])
    }
}

/// `place:opcode` for each instruction, `place:name` for each probe.
fn listing(view: &ClassView<'_>, code: &[u8]) -> String {
    let mut words = Vec::new();
    let mut pushed = None;
    for instruction in Instructions::new(code, 0).map(Result::unwrap) {
        let (pc, opcode) = (instruction.pc, instruction.opcode());
        match opcode {
            4 => pushed = Some(pc),
            op::INVOKESTATIC => {
                let called = view.pool.method_ref(instruction.u16()).unwrap();
                assert_eq!(called.class, b"P");
                let name = String::from_utf8(called.name.to_vec()).unwrap();
                words.push(format!("{}:{name}", pushed.take().unwrap()));
            }
            _ => words.push(format!("{pc}:{opcode}")),
        }
    }
    words.join(" ")
}

fn int(value: i32) -> [u8; 4] {
    value.to_be_bytes()
}

#[test]
fn a_body_gets_enter_exit_and_a_handler() {
    let out = Sample {
        max_stack: 0,
        ..Sample::new(&[177])
    }
    .probed();
    assert_eq!(out.listing, "0:e 4:x 8:177 9:t 13:191");
    assert_eq!(out.handlers, [[4, 9, 9, 0]]);
    assert_eq!(out.max_stack, 2);
    let (name, frames) = &out.attributes[0];
    assert_eq!(name, "StackMapTable");
    assert_eq!(frames[..9], [0, 1, 255, 0, 9, 0, 0, 0, 1]);
}

#[test]
fn old_classes_get_no_frames() {
    let old = Sample {
        major: 49,
        ..Sample::new(&[177])
    };
    let out = rewrite(&old.class(), &PROBES, &mut |_: &str, _: &MethodInfo<'_>| Some(1))
        .unwrap()
        .unwrap();
    assert_eq!(Out::parse(&out.bytes).attributes, []);
}

#[test]
fn a_jump_to_the_begin_does_not_enter_again() {
    // 0: nop, 1: iconst_0, 2: ifeq 0, 5: return, with a frame at 0 and at 5
    let out = Sample::new(&[0, 3, 153, 0xff, 0xfe, 177])
        .frames(&[0, 2, 0, 4])
        .probed();
    assert_eq!(out.listing, "0:e 4:0 5:3 6:153 9:x 13:177 14:t 18:191");
    assert_eq!(out.jump(6), -2);
    assert_eq!(out.attribute("StackMapTable")[..4], [0, 3, 4, 4]);
}

#[test]
fn a_jump_to_a_return_still_exits() {
    // 0: iconst_0, 1: ifeq 5, 4: nop, 5: return
    let out = Sample::new(&[3, 153, 0, 4, 0, 177]).frames(&[0, 1, 5]).probed();
    assert_eq!(out.listing, "0:e 4:3 5:153 8:0 9:x 13:177 14:t 18:191");
    assert_eq!(out.jump(5), 4);
}

#[test]
fn switches_are_padded_anew() {
    for nops in 0..4_usize {
        let mut code = vec![0; nops];
        code.extend([3, op::TABLESWITCH]);
        code.resize(code.len() + (3 - (nops + 1) % 4), 0);
        let distance = (code.len() + 20 - (nops + 1)) as i32;
        code.extend([int(distance), int(7), int(8), int(distance), int(distance)].concat());
        code.push(177);
        let target = code.len() - 1;
        let out = Sample::new(&code).frames(&[0, 1, target as u8]).probed();
        let at = out.code.iter().position(|&byte| byte == op::TABLESWITCH).unwrap();
        let operands = (at + 4) & !3;
        let moved = i32::from_be_bytes(out.code[operands..operands + 4].try_into().unwrap());
        let x = at + moved as usize;
        assert!(
            out.listing.contains(&format!(" {x}:x {}:177", x + PROBE_LEN)),
            "{nops}: {}",
            out.listing
        );
        assert_eq!(out.code[operands + 4..operands + 12], [int(7), int(8)].concat());
        assert_eq!(out.code[operands + 12..operands + 16], int(moved));
    }
}

#[test]
fn tables_follow_the_code() {
    let mut sample = Sample::new(&[0, 0, 177, 0, 191]).frames(&[0, 1, 255, 0, 3, 0, 0, 0, 1, 7, 0, 4]);
    sample.handlers = vec![[0, 1, 3, 4], [1, 3, 3, 0]];
    sample
        .attributes
        .push(("LineNumberTable", [[0, 0, 0, 7], [0, 2, 0, 8]].concat()));
    sample
        .attributes
        .push(("LocalVariableTable", vec![0, 1, 0, 1, 0, 2, 0, 7, 0, 6, 0, 0]));
    sample.attributes[1].1.splice(0..0, [0, 2]);
    let out = sample.probed();
    assert_eq!(out.listing, "0:e 4:0 5:0 6:x 10:177 11:0 12:191 13:t 17:191");
    assert_eq!(out.handlers, [[4, 5, 11, 4], [5, 11, 11, 0], [4, 13, 13, 0]]);
    assert_eq!(out.attribute("LineNumberTable"), [0, 2, 0, 0, 0, 7, 0, 6, 0, 8]);
    assert_eq!(
        out.attribute("LocalVariableTable"),
        [0, 1, 0, 5, 0, 6, 0, 7, 0, 6, 0, 0]
    );
}

#[test]
fn a_frame_names_the_new_instruction_itself() {
    // 0: new B, 3: goto 6, 6: pop, 7: return; the frame at 6 has the new object of 0 on its stack
    let code = [op::NEW, 0, own::SUPER, op::GOTO, 0, 3, 87, 177];
    let out = Sample::new(&code).frames(&[0, 1, 64 + 6, 8, 0, 0]).probed();
    assert_eq!(out.attribute("StackMapTable")[2..6], [64 + 10, 8, 0, 4]);
}

#[test]
fn type_annotations_follow_the_code() {
    let mut sample = Sample::new(&[0, op::NEW, 0, own::SUPER, 87, 177]);
    let on_new = [0x44, 0, 1, 0, 0, 5, 0, 0];
    let on_local = [
        0x40, 0, 1, 0, 4, 0, 2, 0, 1, 0, 0, 5, 0, 1, 0, 5, b'[', 0, 1, b'I', 0, 1,
    ];
    let table = [&[0, 2][..], &on_new, &on_local].concat();
    sample.attributes.push(("RuntimeVisibleTypeAnnotations", table.clone()));
    let out = sample.probed();
    let mut moved = table;
    (moved[4], moved[14], moved[16]) = (5, 8, 6);
    assert_eq!(out.attribute("RuntimeVisibleTypeAnnotations"), moved);
}

#[test]
fn constructors_enter_after_super() {
    let super_call = [42, op::INVOKESPECIAL, 0, own::SUPER_INIT];
    let out = Sample::constructor(&[&super_call[..], &[177]].concat()).probed();
    assert_eq!(out.listing, "0:42 1:183 4:e 8:x 12:177 13:t 17:191");
    assert_eq!(out.handlers, [[8, 13, 13, 0]]);
}

#[test]
fn an_object_of_the_superclass_is_not_this() {
    // new B, dup, B.<init>, pop, then aload_0, S.<init> or B.<init>
    for init in [own::SUPER_INIT, own::THIS_INIT] {
        let mut code = vec![op::NEW, 0, own::SUPER, 89, op::INVOKESPECIAL, 0, own::SUPER_INIT, 87];
        code.extend([42, op::INVOKESPECIAL, 0, init, 177]);
        let out = Sample::constructor(&code).probed();
        assert!(out.listing.contains("8:42 9:183 12:e"), "{}", out.listing);
    }
}

/// `iconst_0, ifeq other; aload_0, super(); return; other: aload_0, super(); return`
fn two_ways_to_super() -> Vec<u8> {
    let way = [42, op::INVOKESPECIAL, 0, own::SUPER_INIT, 177];
    [&[3, 153, 0, 8][..], &way, &way].concat()
}

#[test]
fn each_way_to_super_enters_and_is_covered_for_itself() {
    // At `other`, this is not initialised.
    let out = Sample::constructor(&two_ways_to_super())
        .frames(&[0, 1, 255, 0, 9, 0, 1, 6, 0, 0])
        .probed();
    assert_eq!(
        out.listing,
        "0:3 1:153 4:42 5:183 8:e 12:x 16:177 17:42 18:183 21:e 25:x 29:177 30:t 34:191"
    );
    assert_eq!(out.handlers, [[12, 17, 30, 0], [25, 30, 30, 0]]);
    assert_eq!(out.jump(1), 16);
}

#[test]
fn a_range_that_ends_with_super_ends_before_the_probe() {
    let mut sample = Sample::constructor(&[42, op::INVOKESPECIAL, 0, own::SUPER_INIT, 177, 191]).frames(&[
        0,
        1,
        255,
        0,
        5,
        0,
        1,
        6,
        0,
        1,
        7,
        0,
        own::SUPER,
    ]);
    sample.handlers = vec![[0, 4, 5, 0]];
    let out = sample.probed();
    assert_eq!(out.listing, "0:42 1:183 4:e 8:x 12:177 13:191 14:t 18:191");
    assert_eq!(out.handlers, [[0, 4, 13, 0], [8, 13, 14, 0]]);
}

#[test]
fn unclear_constructors_are_left_alone() {
    let two_ways = two_ways_to_super();
    let old = Sample {
        major: 49,
        ..Sample::constructor(&two_ways)
    };
    assert_eq!(old.left_alone(), Reason::ConstructorUnclear);
    assert_eq!(
        Sample::constructor(&two_ways).left_alone(),
        Reason::ConstructorUnclear,
        "frame missing"
    );
    assert_eq!(
        Sample::constructor(&[177]).left_alone(),
        Reason::ConstructorUnclear,
        "no call at all"
    );
}

#[test]
fn what_would_break_is_left_alone() {
    let empty_finalizer = Sample {
        name: "finalize",
        ..Sample::new(&[177])
    };
    assert_eq!(empty_finalizer.left_alone(), Reason::EmptyFinalizer);
    let subroutine = [op::JSR, 0, 4, 177, 76, op::RET, 1];
    assert_eq!(
        Sample {
            major: 49,
            ..Sample::new(&subroutine)
        }
        .left_alone(),
        Reason::Subroutines
    );
    let wide_ret = [op::JSR_W, 0, 0, 0, 6, 177, 76, op::WIDE, op::RET, 0, 1];
    assert_eq!(
        Sample {
            major: 49,
            ..Sample::new(&wide_ret)
        }
        .left_alone(),
        Reason::Subroutines
    );
    assert_eq!(
        Sample {
            max_stack: u16::MAX,
            ..Sample::new(&[177])
        }
        .left_alone(),
        Reason::TableFull
    );
    assert!(
        matches!(Sample::new(&[op::GOTO, 0, 1, 177]).left_alone(), Reason::Malformed(_)),
        "jump into itself"
    );
    assert!(
        matches!(Sample::new(&[202, 177]).left_alone(), Reason::Malformed(_)),
        "no such instruction"
    );
}

#[test]
fn size_limits_leave_alone() {
    let long = |nops: usize| Sample::new(&[&vec![0; nops][..], &[177]].concat());
    assert_eq!(long(65_534).left_alone(), Reason::CodeTooLong);
    assert_eq!(long(7_999).left_alone(), Reason::WouldNotCompile);
    assert_eq!(long(7_999 - 13).rewritten().probed.len(), 1);
    assert_eq!(
        long(8_000).rewritten().probed.len(),
        1,
        "was not compiled before either"
    );
}

#[test]
fn jumps_that_would_not_reach_leave_alone() {
    // goto over nops and `returns` returns, each of which grows by a probe; a frame where it lands.
    let jump = |returns: usize, distance: i16| {
        let between = usize::try_from(distance).unwrap() - 3;
        let mut code = vec![op::GOTO];
        code.extend(distance.to_be_bytes());
        code.resize(3 + between - returns, 0);
        code.resize(3 + between, 177);
        code.push(177);
        let [high, low] = distance.to_be_bytes();
        Sample::new(&code).frames(&[0, 1, 251, high, low])
    };
    assert_eq!(jump(2, 32_767 - 8).rewritten().probed.len(), 1);
    assert_eq!(jump(3, 32_767 - 8).left_alone(), Reason::JumpTooFar);
}

#[test]
fn a_full_constant_pool_leaves_alone() {
    let class = Sample::new(&[177]).class();
    let mut pool = Additions::after(ClassView::parse(&class).unwrap().pool.count());
    while pool.pool_count() < 65_530 {
        pool.integer(0).unwrap();
    }
    let full = splice(&ClassView::parse(&class).unwrap(), &pool, &[]);
    let rewritten = rewrite(&full, &PROBES, &mut |_: &str, _: &MethodInfo<'_>| Some(1))
        .unwrap()
        .unwrap();
    assert_eq!(rewritten.left_alone[0].reason, Reason::PoolFull);
    assert_eq!(rewritten.bytes, full);
}

#[test]
fn the_helper_class_has_natives_and_a_method_that_calls_one_of_them() {
    let bytes = helper_class(&Probes::PLUMB).unwrap();
    let view = ClassView::parse(&bytes).unwrap();
    assert_eq!(
        (view.name(), view.super_name),
        ("java/lang/PlumbProbe".into(), Some(&b"java/lang/Object"[..]))
    );
    let natives: Vec<_> = view
        .methods
        .iter()
        .map(|method| (method.name(), method.access))
        .collect();
    assert_eq!(
        natives,
        [
            ("enter".into(), 0x109),
            ("exit".into(), 0x109),
            ("thrown".into(), 0x109),
            ("parks".into(), 0x109),
            ("text".into(), 0x109),
            ("number".into(), 0x109),
            ("given".into(), 0x109),
            ("relay".into(), 0x9)
        ]
    );
    let mut all = |_: &str, _: &MethodInfo<'_>| Some(1);
    assert!(
        rewrite(&bytes, &Probes::PLUMB, &mut all).unwrap().is_none(),
        "it never gets probes itself"
    );
}
