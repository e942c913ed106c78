/* A library of the program's own. */
int answer(void) { return 42; }
