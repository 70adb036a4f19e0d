//! What groups in `park` or `net` wait for.

use plumb_trace::record::fd_kind;

use super::*;

/// Half a second in `state`, the other half on a CPU, twice as long in the second wait as in the first; `b` ended both.
fn mostly_in(state: State, causes: [Cause; 2], fake: &mut Fake, (a, b): (TrackId, TrackId)) {
    let mut at = 0;
    for (cause, ns) in causes.into_iter().zip([2 * S / 10, 4 * S / 10]) {
        let interval = fake.state(a, at, at + ns, state);
        (interval.cause, interval.peer) = (cause, Some(b));
        fake.running(a, at + ns, at + ns + S / 10, 0);
        at += ns + S / 10;
    }
}

#[test]
fn who_parks_most_of_its_time_is_asked_for_what() {
    let (mut fake, a, b) = server();
    fake.group(b, "pool");
    fake.running(b, 0, S, 1);
    let classes = ["shop.Pool$Lease", "java.util.concurrent.CompletableFuture$Signaller"];
    let causes = classes.map(|class| Cause::Class(fake.text(class)));
    mostly_in(State::Park, causes, &mut fake, (a, b));
    fake.stacks = vec![["main", "serve", "lease"].map(|frame| fake.text(frame)).to_vec()];
    let sleep = Sleep {
        start_ns: 3 * S / 10,
        end_ns: 7 * S / 10,
        stack: StackId(0),
        waker_stack: StackId(0),
        waker: None,
        java_stack: StackId(1),
    };
    fake.sleeps.push((a, sleep));
    let report = report(&written(&fake), Window::of(&fake, None, None)).unwrap();
    assert!(
        report.to_json()["waits"][0]["between_units"].is_null(),
        "there are no units"
    );
    assert_eq!(
        report.to_string(),
        "Nothing found wrong in 1.00 s.
request is longest in park: 75 %
   - 1 thread of request took 800 ms, and were in park for 600 ms of it
   - threads of request did so 2 times, 300 ms on average, 400 ms the longest
   - 67 % of that time for java.util.concurrent.CompletableFuture$Signaller
   - 33 % of that time for shop.Pool$Lease
   - 67 % of that time in lease < serve < main
   - ended by pool of java 100 %

"
    );
}

#[test]
fn who_waits_for_the_network_is_asked_where_within_units_and_how_long_between_them_apart() {
    let (mut fake, a, b) = server();
    let call = |number| Cause::Syscall {
        number,
        fd_kind: fd_kind::SOCKET,
    };
    // The first wait is for a request to come; the second begins before its unit does, and the same unit inside itself counts once.
    mostly_in(State::Net, [call(45), call(47)], &mut fake, (a, b));
    let unit = fake.text("request");
    fake.unit(unit, a, 4 * S / 10, 8 * S / 10);
    fake.unit(unit, a, 5 * S / 10, 6 * S / 10);
    fake.stacks = ["idle", "ask"].map(|frame| vec![fake.text(frame)]).to_vec();
    for (number, (start_ns, end_ns)) in [(1, (0, 2 * S / 10)), (2, (3 * S / 10, 7 * S / 10))] {
        let sleep = Sleep {
            start_ns,
            end_ns,
            stack: StackId(0),
            waker_stack: StackId(0),
            waker: None,
            java_stack: StackId(number),
        };
        fake.sleeps.push((a, sleep));
    }
    let waits = told(&fake).waits;
    let [waits] = waits.as_slice() else { panic!("{waits:?}") };
    assert_eq!(
        (waits.state, waits.waited_ns, waits.share),
        (State::Net, 3 * S / 10, 0.75)
    );
    assert_eq!(
        waits.evidence,
        [
            "1 units of request took 400 ms, and were in net for 300 ms of it",
            "threads of request did so within them 1 times, 300 ms on average, 300 ms the longest",
            "100 % of that time in recvmsg on a socket",
            "100 % of that time in ask",
            "ended by request of java 100 %",
            "not counted: 300 ms in net between units, 2 times, 150 ms on average, 200 ms the longest",
        ]
    );
    let json = report(&fake, Window::of(&fake, None, None)).unwrap().to_json();
    let told = &json["waits"][0];
    assert_eq!((&told["waited_ns"], &told["times"]), (&(3 * S / 10).into(), &1.into()));
    assert_eq!(
        told["between_units"],
        serde_json::json!({ "waited_ns": 3 * S / 10, "times": 2, "longest_ns": 2 * S / 10 })
    );
}

#[test]
fn of_waits_nothing_is_said_where_nothing_is_known_or_other_states_last_longer() {
    let (mut fake, a, b) = server();
    fake.state(a, 0, S, State::Park);
    assert_eq!(told(&fake).waits, []);
    let (mut fake, ..) = server();
    let class = Cause::Class(fake.text("shop.Pool$Lease"));
    fake.state(a, 0, S / 2, State::Park).cause = class;
    fake.running(b, 0, S, 0);
    assert_eq!(told(&fake).waits, []);
}
