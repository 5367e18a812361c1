/* Adds the output of a step to the mean of all steps. */
static void model_pool(model_state *state, const float *output, float *pooled) {
    int i;
    state->steps++;
    for (i = 0; i < MODEL_UNITS; i++) {
        state->sum[i] += (double)output[i];
        pooled[i] = (float)(state->sum[i] / (double)state->steps);
    }
}
