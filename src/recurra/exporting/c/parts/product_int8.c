typedef struct {
    const int8_t *weights; /* rows of `columns` values */
    const float *scales;   /* value of 1 in each row */
    int columns;
} model_matrix;

/* Returns the product of a row of a matrix and a vector. */
static float model_product(const model_matrix *matrix, int row, const float *vector) {
    const int8_t *weights = matrix->weights + (size_t)row * (size_t)matrix->columns;
    float sum = 0.0f;
    int i;
    for (i = 0; i < matrix->columns; i++) sum += (float)weights[i] * vector[i];
    return matrix->scales[row] * sum;
}
