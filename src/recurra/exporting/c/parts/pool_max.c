/* Adds the output of a step to the greatest values of all steps. */
static void model_pool(model_state *state, const float *output, float *pooled) {
    int i;
    for (i = 0; i < MODEL_UNITS; i++) {
        if (!state->begun || output[i] > state->greatest[i]) state->greatest[i] = output[i];
        pooled[i] = state->greatest[i];
    }
    state->begun = 1;
}
