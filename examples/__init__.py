"""Short programs that use hyper, each run by the tests."""
