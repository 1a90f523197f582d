//! What the engine notes about a query, and where in it.

use model::Labels;
use promql::testscript::ScriptStorage;
use promql::{Engine, EngineOptions, QueryOptions};

fn storage() -> ScriptStorage {
    let storage = ScriptStorage::default();
    for (name, step) in [("temp", 1.0), ("req_total", 2.0)] {
        let labels = Labels::from_pairs([("__name__", name)]);
        for k in 0..60 {
            storage.insert_float(&labels, k * 10_000, step * k as f64);
        }
    }
    storage
}

/// Warnings and infos of a range query over ten minutes, without their kinds.
fn notes(query: &str) -> Vec<String> {
    let engine = Engine::new(EngineOptions::default());
    let options = QueryOptions::default();
    let answer = engine.range(&storage(), query, 0, 590_000, 10_000, &options);
    let notes = answer.expect(query).annotations;
    notes.warnings.into_iter().chain(notes.infos).collect()
}

#[test]
fn counters_are_doubted_by_the_name_that_is_left() {
    let doubt = |place: &str| {
        vec![format!(
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"temp\" ({place})"
        )]
    };
    assert_eq!(notes("sum(rate(temp[1m]))"), doubt("1:10"));
    // A subquery's result is from nowhere.
    assert_eq!(notes("sum(rate(temp[1m:10s]))"), doubt("1:1"));
    assert_eq!(notes("rate((temp)[1m:10s])"), doubt("1:1"));
    // What a function made of it has no name.
    assert_eq!(notes("rate(abs(temp)[1m:10s])"), [""; 0]);
    assert_eq!(notes("rate(req_total[1m])"), [""; 0]);
}

#[test]
fn sorting_is_in_vain_where_there_are_several_steps() {
    let vain = |place: &str| {
        vec![format!(
            "PromQL warning: sort is ineffective for range queries since results are always ordered by labels ({place})"
        )]
    };
    assert_eq!(notes("sort(temp)"), vain("1:1"));
    assert_eq!(notes("abs(sort_desc(temp))"), vain("1:5"));
    // One time is asked for, and its answer stands at every step.
    assert_eq!(notes("sort(temp @ end())"), [""; 0]);
}
