void model_start(model_state *state) {
    memset(state, 0, sizeof *state);
}
