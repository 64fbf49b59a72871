"""True labels that clients report: signed prediction ids, the store, and the quality they show."""
