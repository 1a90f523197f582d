use super::*;

const PROGRAM: Program = Program {
    name: "thing",
    about: "Does things.",
    flags: &[
        Flag::value("data.path", "data/", "Where data is"),
        Flag::switch("fast", true, "Be fast"),
        Flag::switch("slow", false, "Be slow"),
        Flag::list("listen", ":1", "Where to listen").takes(Takes::Other),
        Flag::value("secret", "x", "Hidden").hidden(),
    ],
    commands: &[],
};

const TOOL: Program = Program {
    name: "tool",
    about: "Has commands.",
    flags: &[Flag::switch("loud", false, "Be loud.")],
    commands: &[
        Command {
            path: "read",
            about: "Reads.",
            flags: &[Flag::value("format", "a", "How.")
                .short('f')
                .takes(Takes::OneOf(&["a", "b"]))],
        },
        Command {
            path: "read one",
            about: "Reads one.\n\nOr none.",
            flags: &[
                Flag::value("wait", "5s", "How long.").takes(Takes::GoDuration),
                Flag::list("match", "", "What.").required(),
                Flag::word("from", "Where from."),
                Flag::maybe_word("to", "here", "Where to."),
            ],
        },
        Command {
            path: "read all",
            about: "Reads all.",
            flags: &[Flag::words("files", "Which.").required()],
        },
    ],
};

fn parse_with(program: &Program, line: &str) -> Result<Invocation, UsageError> {
    program.parse(
        line.split_whitespace().map(str::to_string),
        "thing, version 1\n",
    )
}

fn values(program: &Program, line: &str) -> Values {
    match parse_with(program, line).expect("makes sense") {
        Invocation::Run(values) => values,
        Invocation::Print(text) => panic!("prints {text}"),
    }
}

fn printed(program: &Program, line: &str) -> String {
    match parse_with(program, line).expect("makes sense") {
        Invocation::Print(text) => text,
        Invocation::Run(_) => panic!("runs"),
    }
}

#[test]
fn values_and_defaults() {
    let read = values(
        &PROGRAM,
        "--data.path=/x --no-fast --slow --listen :2 --listen=:3",
    );
    assert_eq!(read.text("data.path"), "/x");
    assert!(!read.switch("fast") && read.switch("slow"));
    assert_eq!(read.list("listen"), [":2", ":3"]);
    assert!(read.is_given("fast") && !read.is_given("secret"));
    let read = values(&PROGRAM, "");
    assert!(read.switch("fast") && !read.switch("slow"));
    assert_eq!(read.all()["listen"], ":1");
    assert_eq!(read.all()["fast"], "true");
    assert!(!read.all().contains_key("help"));
}

#[test]
fn commands_have_flags_of_their_own_and_of_their_groups() {
    let read = values(&TOOL, "read -fb one --match x --loud here --match=y there");
    assert_eq!(read.command(), "read one");
    assert!(read.switch("loud"));
    assert_eq!(read.text("format"), "b");
    assert_eq!(read.list("match"), ["x", "y"]);
    assert_eq!((read.text("from"), read.text("to")), ("here", "there"));
    let read = values(&TOOL, "read one --match=x -- -1");
    assert_eq!((read.text("from"), read.text("to")), ("-1", "here"));
    assert_eq!(
        values(&TOOL, "read all a b --loud c").list("files"),
        ["a", "b", "c"]
    );
}

#[test]
fn nonsense_in_upstreams_words() {
    use UsageError::{Shape, Value};
    for (program, line, error) in [
        (
            &PROGRAM,
            "--nope",
            Shape("unknown long flag '--nope'".into()),
        ),
        (
            &PROGRAM,
            "--no-listen",
            Shape("unknown long flag '--no-listen'".into()),
        ),
        (&PROGRAM, "-x", Shape("unknown short flag '-x'".into())),
        (&PROGRAM, "stray", Shape("unexpected stray".into())),
        (&PROGRAM, "--fast=false", Shape("unexpected false".into())),
        (
            &PROGRAM,
            "--listen",
            Shape("expected argument for flag '--listen'".into()),
        ),
        (
            &PROGRAM,
            "--listen --fast",
            Shape("expected argument for flag '--listen'".into()),
        ),
        (
            &PROGRAM,
            "--help --nope",
            Shape("unknown long flag '--nope'".into()),
        ),
        (
            &PROGRAM,
            "--fast --no-fast",
            Value("flag 'fast' cannot be repeated".into()),
        ),
        (
            &PROGRAM,
            "--data.path a --data.path b",
            Value("flag 'data.path' cannot be repeated".into()),
        ),
        (
            &TOOL,
            "read",
            Value("must select a subcommand of 'read'".into()),
        ),
        (
            &TOOL,
            "eat",
            Shape("expected command but got \"eat\"".into()),
        ),
        (
            &TOOL,
            "read two",
            Shape("expected command but got \"two\"".into()),
        ),
        (
            &TOOL,
            "read one",
            Value("required flag(s) '--match' not provided".into()),
        ),
        (
            &TOOL,
            "read one --match=x",
            Value("required argument 'from' not provided".into()),
        ),
        (
            &TOOL,
            "read all",
            Value("required argument 'files' not provided".into()),
        ),
        (&TOOL, "read one a b c", Shape("unexpected c".into())),
        (
            &TOOL,
            "--format=b read all x",
            Shape("unknown long flag '--format'".into()),
        ),
        (
            &TOOL,
            "read -fc all x",
            Value("enum value must be one of a,b, got 'c'".into()),
        ),
        (
            &TOOL,
            "read one --wait=x",
            Value("time: invalid duration \"x\"".into()),
        ),
        (
            &TOOL,
            "read one --wait=5",
            Value("time: missing unit in duration \"5\"".into()),
        ),
        (
            &TOOL,
            "read one --wait=5d",
            Value("time: unknown unit \"d\" in duration \"5d\"".into()),
        ),
        (
            &TOOL,
            "help eat",
            Value("expected command but got \"eat\"".into()),
        ),
    ] {
        assert_eq!(parse_with(program, line).expect_err(line), error, "{line}");
    }
}

#[test]
fn help_and_version() {
    let help = "\
usage: thing [<flags>]

Does things.


Flags:
  -h, --[no-]help          Show context-sensitive help (also try --help-long and
                           --help-man).
      --[no-]version       Show application version.
      --data.path=\"data/\"  Where data is
      --[no-]fast          Be fast
      --[no-]slow          Be slow
      --listen=:1 ...      Where to listen

";
    assert_eq!(printed(&PROGRAM, "--help"), help);
    assert_eq!(printed(&PROGRAM, "--slow -h"), help);
    for line in ["--version", "--version --nope", "--help --version"] {
        assert_eq!(printed(&PROGRAM, line), "thing, version 1\n", "{line}");
    }
    let tool = printed(&TOOL, "");
    assert!(tool.starts_with("usage: tool [<flags>] <command> [<args> ...]\n\nHas commands.\n"));
    assert!(
        tool.ends_with(
            "\nCommands:\nhelp [<command>...]\n    Show help.\n\n\
             read one --match=MATCH [<flags>] <from> [<to>]\n    Reads one.\n\n    Or none.\n\n\
             read all <files>...\n    Reads all.\n\n\n"
        ),
        "{tool}"
    );
    assert!(printed(&TOOL, "read --help").contains("\nSubcommands:\nread one --match"));
    let one = printed(&TOOL, "read one --help");
    assert!(one.contains("\n  -f, --format=a         How.\n"), "{one}");
    assert!(
        one.ends_with("\nArgs:\n  <from>  Where from.\n  [<to>]  Where to.\n\n"),
        "{one}"
    );
    assert_eq!(printed(&TOOL, "help read one"), one);
}
