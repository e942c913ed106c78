use super::super::load_builtin;
use super::*;

fn native() -> Policy {
    load_builtin("native").unwrap()
}

#[track_caller]
fn refused(overrides: &Overrides, message: &str, help: &str) {
    let error = native().with_overrides(overrides).unwrap_err();
    assert_eq!((error.kind(), error.message(), error.help_text()), (Kind::Usage, message, Some(help)));
}

#[test]
fn overrides_of_nothing_change_nothing() {
    assert_eq!(native().with_overrides(&Overrides::default()), Ok(native()));
}

#[test]
fn overrides_within_bounds_take_effect_and_keep_the_digest() {
    let overrides = Overrides {
        cpu_ns: Some(1_000_000_000),
        wall_ns: Some(2_000_000_000),
        memory: Some(32 << 20),
        processes: Some(3),
        open_files: Some(10),
        file_size: Some(0),
        output: Some(0),
        on_output: Some(OnOutput::Cut),
        stack: Some(Stack::Bytes(1 << 20)),
        tmp: Some(8192),
        env: vec![("A".into(), "1".into()), ("B".into(), "a=b".into())],
        degrade: vec![Layer::Cgroup, Layer::Cgroup],
    };
    let policy = native().with_overrides(&overrides).unwrap();
    let limits = &policy.limits;
    assert_eq!((limits.cpu_ns, limits.wall_ns, limits.memory), (1_000_000_000, 2_000_000_000, 32 << 20));
    assert_eq!((limits.processes, limits.open_files, limits.file_size, limits.output), (3, 10, 0, 0));
    assert_eq!((limits.on_output, limits.stack), (OnOutput::Cut, Stack::Bytes(1 << 20)));
    let tmp = policy.paths.iter().find(|p| p.at == "/tmp").unwrap();
    assert_eq!(tmp.from, PathSource::Tmpfs { size: 8192, inodes: 4096 });
    assert_eq!((policy.env["A"].as_str(), policy.env["B"].as_str()), ("1", "a=b"));
    assert_eq!(policy.degrade.iter().copied().collect::<Vec<_>>(), [Layer::Cgroup]);
    assert_eq!(policy.digest, native().digest);
}

#[test]
fn override_out_of_bounds_is_refused_by_its_option() {
    let zero =
        |least: &str| format!("zero is not \"unlimited\", and there is no such thing; the least is {least}");
    let none = Overrides::default;
    refused(&Overrides { cpu_ns: Some(0), ..none() }, "--cpu-time: `cpu_time` is zero", &zero("1ms"));
    refused(&Overrides { processes: Some(0), ..none() }, "--processes: `processes` is zero", &zero("1"));
    refused(&Overrides { tmp: Some(0), ..none() }, "--tmp: `size` is zero", &zero("4KiB"));
    refused(
        &Overrides { memory: Some(4096), ..none() },
        "--memory: `memory` is too small: 4KiB",
        "the box itself needs about half of that before the program starts; the least is 1MiB",
    );
    refused(
        &Overrides { wall_ns: Some(u64::MAX), ..none() },
        "--wall-time: `wall_time` is too large: 18446744073709551615ns",
        "a limit that nothing reaches is none; the most is 8760h",
    );
    refused(
        &Overrides { stack: Some(Stack::Bytes(0)), ..none() },
        "--stack: `stack` is zero",
        &zero("64KiB"),
    );
    refused(
        &Overrides { tmp: Some(5000), ..none() },
        "--tmp: 5000B is not a whole number of pages",
        "a page is 4KiB; the next size is 8KiB",
    );
}

#[test]
fn override_of_a_variable_that_cannot_be_one_is_refused() {
    let env = |pairs: &[(&str, &str)]| Overrides {
        env: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..Overrides::default()
    };
    let help = "a name is not empty and holds neither `=` nor NUL";
    refused(&env(&[("", "x")]), "--env: the empty string is not the name of a variable", help);
    refused(&env(&[("A=B", "x")]), "--env: `A=B` holds `=`", help);
    refused(&env(&[("A", "x\0")]), "--env: `A` holds a NUL", "no program could see what follows it");
    refused(&env(&[("A", "1"), ("A", "1")]), "--env: variable `A` is given twice", "leave one out");
    assert!(native().with_overrides(&env(&[("A", "1"), ("B", "1")])).is_ok());
}

#[test]
fn override_of_tmp_without_one_is_refused() {
    let overrides = Overrides { tmp: Some(1 << 20), ..Overrides::default() };
    let error = load_builtin("strict").unwrap().with_overrides(&overrides).unwrap_err();
    assert_eq!(error.message(), "--tmp: policy `strict` has no file system in memory at `/tmp`");
    assert!(native().with_overrides(&overrides).is_ok());
}
