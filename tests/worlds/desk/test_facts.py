from collections import Counter

from prefjax.worlds.desk import facts


def test_prompts_are_distinct_and_split_by_prompt_within_every_entity():
    prompts = {split: facts.all_prompts(split) for split in facts.SPLITS}
    texts = [prompt.text for found in prompts.values() for prompt in found]
    assert len(texts) == len(set(texts)) == 10 * len(facts.ENTITIES)
    for split, share in (("train", 7), ("validation", 1), ("test", 2)):
        assert Counter(prompt.entity for prompt in prompts[split]) == dict.fromkeys(facts.ENTITIES, share)


def test_ids_are_unique():
    ids = [prompt.id for split in facts.SPLITS for prompt in facts.all_prompts(split)]
    assert len(ids) == len(set(ids))


def test_every_slice_has_at_least_ten_entities():
    counts = Counter(entity.slice for entity in facts.ENTITIES)
    assert set(counts) == set(facts.SLICES)
    assert min(counts.values()) >= 10


def test_no_clause_contains_another_and_no_lie_is_the_truth():
    for clause in facts.CLAUSES:
        assert [other for other in facts.CLAUSES if clause in other] == [clause]
    for entity in facts.ENTITIES:
        assert entity.truth not in entity.lies
        assert entity.lies
