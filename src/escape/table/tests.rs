use std::collections::BTreeSet;

use super::{Control, How, SECTIONS, all, probe};

#[test]
fn ids_are_unique_and_of_a_known_section() {
    let mut seen = BTreeSet::new();
    for attack in all() {
        assert!(seen.insert(attack.id), "{} stands there twice", attack.id);
        assert!(SECTIONS.iter().any(|(s, _)| *s == attack.section()), "{}", attack.id);
        let number = attack.id.split_once('-').unwrap().1;
        assert!(number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit()), "{}", attack.id);
    }
}

#[test]
fn table_has_every_starred_attack_and_at_least_170_that_are_tried() {
    let tried = all().iter().filter(|a| a.not_applicable().is_none()).count();
    assert!(tried >= 170, "{tried}");
    let stars: Vec<&str> = all().iter().filter(|a| a.star).map(|a| a.id).collect();
    let catalogue = "FS-08 NS-03 NS-05 PR-01 PR-12 FD-01 FD-03 TT-01 SC-01 SC-02 SA-01 SK-01 SK-03 SK-07 SK-09 KY-01 \
                     KX-01 PS-06 PS-07 CG-01 DS-01 DS-02 DS-03 DS-07 DS-09 IL-01 SV-01 SV-03 OU-01 OU-02";
    let wanted: BTreeSet<&str> = catalogue.split_whitespace().collect();
    assert_eq!(stars.iter().copied().collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn every_attack_that_is_tried_says_who_holds_it_and_what_counts_as_held() {
    for attack in all() {
        if attack.not_applicable().is_some() {
            continue;
        }
        assert!(!attack.holders().is_empty(), "{}", attack.id);
        assert!(!attack.expected.is_empty(), "{}", attack.id);
        if let How::Shared(_) = attack.how {
            assert!(probe(attack.id).is_some());
        }
        if let Control::Own(text) = attack.control {
            assert!(!text.is_empty(), "{}", attack.id);
        }
    }
}

#[test]
fn unknown_id_has_no_probe() {
    assert!(probe("XX-99").is_none());
    assert!(probe("OU-03").is_none());
}
