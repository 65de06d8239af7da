"""Dataset + Recipe -> BrandModel: the engine, one file per stage, losses, gates."""
