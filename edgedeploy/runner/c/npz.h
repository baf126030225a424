/* Arrays out of an .npz file: a zip whose members are .npy files, stored and not compressed. */
#ifndef EDGEDEPLOY_NPZ_H
#define EDGEDEPLOY_NPZ_H

#include "engine.h"

struct npz {
    struct tensor *arrays;  /* names without ".npy", each with its data */
    size_t count;
};

/* 0, or -1 with words in `error`. */
int npz_open(const char *path, struct npz *npz, char error[ENGINE_ERROR_SIZE]);
void npz_close(struct npz *npz);

#endif
