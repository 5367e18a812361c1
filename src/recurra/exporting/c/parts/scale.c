/* Scales the inputs of a step as in training. A missing value is replaced by the last value, at first by the mean. */
static void model_scale(model_state *state, const float *x, float *scaled) {
    int i;
    for (i = 0; i < MODEL_INPUTS; i++) {
        const double value = ((double)x[i] - model_means[i]) / model_deviations[i];
        if (fabs(value) <= MODEL_FARTHEST) state->last[i] = (float)value; /* false for NAN */
        scaled[i] = state->last[i];
    }
}
