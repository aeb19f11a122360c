/* A CUDA driver without a GPU: numba-cuda, cuda-core and cuda-bindings load it in the place of NVIDIA's libcuda.so.1.

   Memory is the host's, kernels are looked at and not run. What NVIDIA's driver refuses is refused, and more: while a
   stream is captured nothing but launches on it is allowed. Every call is a line of the file FAKE_CUDA_LOG.
   FAKE_CUDA_CAPABILITY=90 and the like say what there is; fake_fail lets a function fail, fake_memory sets how much there
   is, fake_used says how much is taken. */
#define _GNU_SOURCE
#include <cuda.h>
#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 65536
#define PARAMS 128
typedef struct { char *at; size_t size; int alive; } Memory;
typedef struct { char *image; int kernels; } Library;
typedef struct { Library *library; char name[512]; int params, sizes[PARAMS], shared, dynamic; } Kernel;
typedef struct Launch { Kernel *kernel; unsigned grid[3], block[3], shared; CUdeviceptr values[PARAMS]; struct Launch *next; } Launch;
typedef struct { Launch *first, **last; int alive; } Graph;
typedef struct { int nonblocking, capturing, invalid; Graph *graph; } Stream;

static Memory memory[MOST];
static int memories, begun, captures, retained, unlucky, code_after, sticky;
static size_t used, limit = (size_t)1 << 34;
static char failing[64];
static __thread CUcontext contexts[64];
static __thread int depth;
static char primary;
static FILE *lines;

static long setting(const char *name, long otherwise) { const char *text = getenv(name); return text && *text ? atol(text) : otherwise; }

static void note(const char *format, ...) {
    const char *path = getenv("FAKE_CUDA_LOG");
    if (!path) return;
    if (!lines) lines = fopen(path, "a");
    va_list arguments;
    va_start(arguments, format);
    vfprintf(lines, format, arguments);
    va_end(arguments);
    fputc('\n', lines);
    fflush(lines);
}

/* Let a function fail with a code when it is called for the `after`-th time from now; 700 and 719 stay. */
void fake_fail(const char *function, int after, int code) {
    strncpy(failing, function, sizeof failing - 1);
    unlucky = after, code_after = code, sticky = 0;
}

void fake_memory(size_t bytes) { limit = bytes; }
size_t fake_used(void) { return used; }

static CUresult enter(const char *function, int context, int quiet) {
    if (!begun) return CUDA_ERROR_NOT_INITIALIZED;
    if (begun != getpid()) return CUDA_ERROR_NOT_INITIALIZED;
    if (sticky) return sticky;
    if (context && !depth) return CUDA_ERROR_INVALID_CONTEXT;
    if (!strcmp(function, failing) && unlucky > 0 && --unlucky == 0) {
        note("failed %s %d", function, code_after);
        if (code_after == 700 || code_after == 719) sticky = code_after;
        return code_after;
    }
    if (captures && !quiet) {
        note("refused %s", function);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return CUDA_SUCCESS;
}
#define ENTER(context, quiet) do { CUresult r_ = enter(__func__, context, quiet); if (r_) return r_; } while (0)
#define ALWAYS ENTER(0, 1)   /* allowed while a stream is captured */
#define BESIDE ENTER(1, 0)   /* refused then */

static int holds(CUdeviceptr at, size_t size) {
    for (int k = memories; k-- > 0;)
        if (memory[k].alive && at >= (CUdeviceptr)memory[k].at && at + size <= (CUdeviceptr)memory[k].at + memory[k].size) return 1;
    return 0;
}

static int was_freed(CUdeviceptr at) {
    for (int k = 0; k < memories; k++)
        if (!memory[k].alive && at >= (CUdeviceptr)memory[k].at && at < (CUdeviceptr)memory[k].at + memory[k].size) return 1;
    return 0;
}

/* ---- what needs no context */
CUresult cuGetErrorName(CUresult code, const char **text) {
    static const struct { int code; const char *name; } known[] = {
        {0, "CUDA_SUCCESS"}, {1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"},
        {3, "CUDA_ERROR_NOT_INITIALIZED"}, {46, "CUDA_ERROR_DEVICE_UNAVAILABLE"}, {201, "CUDA_ERROR_INVALID_CONTEXT"},
        {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"}, {719, "CUDA_ERROR_LAUNCH_FAILED"},
        {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}, {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}};
    *text = "CUDA_ERROR_UNKNOWN";
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) if (known[k].code == (int)code) *text = known[k].name;
    return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult code, const char **text) { return cuGetErrorName(code, text); }
CUresult cuInit(unsigned flags) { long fails = setting("FAKE_CUDA_INIT", 0); if (!fails) begun = getpid(); return (CUresult)fails; }
CUresult cuDriverGetVersion(int *version) { *version = setting("FAKE_CUDA_VERSION", 12090); return CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int *count) { ALWAYS; *count = setting("FAKE_CUDA_DEVICES", 1); return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) { ALWAYS; *device = ordinal; return CUDA_SUCCESS; }
CUresult cuDeviceGetName(char *name, int length, CUdevice device) { ALWAYS; snprintf(name, length, "No GPU"); return CUDA_SUCCESS; }
CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) { ALWAYS; memset(uuid, 7, sizeof *uuid); return CUDA_SUCCESS; }
CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device) { ALWAYS; *bytes = limit; return CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    ALWAYS;
    int capability = setting("FAKE_CUDA_CAPABILITY", 90);
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = capability / 10; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = capability % 10; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 * 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = (capability < 80 ? 64 : 227) * 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR: *value = 65536; break;
    default: *value = 1;
    }
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    ALWAYS;
    if (setting("FAKE_CUDA_START", 0)) return setting("FAKE_CUDA_START", 0);
    *context = (CUcontext)&primary; retained++; return CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease(CUdevice device) { ALWAYS; retained--; return CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxReset(CUdevice device) { ALWAYS; return CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext *context) { ALWAYS; *context = depth ? contexts[depth - 1] : NULL; return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) { ALWAYS; if (!depth) depth = 1; contexts[depth - 1] = context; return CUDA_SUCCESS; }
CUresult cuCtxPushCurrent(CUcontext context) { ALWAYS; contexts[depth++] = context; return CUDA_SUCCESS; }
CUresult cuCtxPopCurrent(CUcontext *context) { ENTER(1, 1); depth--; if (context) *context = contexts[depth]; return CUDA_SUCCESS; }
CUresult cuCtxGetDevice(CUdevice *device) { ENTER(1, 1); *device = 0; return CUDA_SUCCESS; }
CUresult cuCtxGetStreamPriorityRange(int *low, int *high) { ENTER(1, 1); *low = 0, *high = -5; return CUDA_SUCCESS; }
CUresult cuCtxSynchronize(void) { BESIDE; note("wait for all"); return CUDA_SUCCESS; }

/* ---- memory */
CUresult cuMemGetInfo(size_t *left, size_t *all) { ENTER(1, 1); *all = limit; *left = *all > used ? *all - used : 0; return CUDA_SUCCESS; }
CUresult cuMemAlloc(CUdeviceptr *at, size_t size) {
    BESIDE;
    if (!size || memories == MOST) return CUDA_ERROR_INVALID_VALUE;
    if (used + size > limit) return CUDA_ERROR_OUT_OF_MEMORY;
    char *place = aligned_alloc(256, (size + 255) / 256 * 256);
    memset(place, 0xFF, size);
    memory[memories++] = (Memory){place, size, 1};
    used += size, *at = (CUdeviceptr)place;
    note("alloc %zu", size);
    return CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr at) {
    BESIDE;
    for (int k = 0; k < memories; k++)
        if (memory[k].alive && (CUdeviceptr)memory[k].at == at) { /* its addresses are never given again */
            memory[k].alive = 0, used -= memory[k].size;
            note("free %zu", memory[k].size);
            return CUDA_SUCCESS;
        }
    return CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t size) { BESIDE; if (!holds(to, size)) return CUDA_ERROR_INVALID_VALUE; memcpy((void *)to, from, size); note("copy in %zu", size); return CUDA_SUCCESS; }
CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t size) { BESIDE; if (!holds(from, size)) return CUDA_ERROR_INVALID_VALUE; memcpy(to, (void *)from, size); note("copy out %zu", size); return CUDA_SUCCESS; }
CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t size) { BESIDE; if (!holds(to, size) || !holds(from, size)) return CUDA_ERROR_INVALID_VALUE; memmove((void *)to, (void *)from, size); note("copy %zu", size); return CUDA_SUCCESS; }
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t size, CUstream stream) { return cuMemcpyHtoD(to, from, size); }
CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t size, CUstream stream) { return cuMemcpyDtoH(to, from, size); }
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) { return cuMemcpyDtoD(to, from, size); }
CUresult cuMemsetD8(CUdeviceptr at, unsigned char value, size_t size) { BESIDE; if (!holds(at, size)) return CUDA_ERROR_INVALID_VALUE; memset((void *)at, value, size); return CUDA_SUCCESS; }
CUresult cuPointerGetAttribute(void *value, CUpointer_attribute attribute, CUdeviceptr at) {
    ENTER(1, 1);
    if (!holds(at, 1)) return CUDA_ERROR_INVALID_VALUE;
    *(int *)value = attribute == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL ? setting("FAKE_CUDA_ORDINAL", 0) : 0;
    return CUDA_SUCCESS;
}

CUresult cuPointerGetAttributes(unsigned count, CUpointer_attribute *attributes, void **values, CUdeviceptr at) {
    ENTER(1, 1);
    for (unsigned k = 0; k < count; k++)
        *(int *)values[k] = attributes[k] == CU_POINTER_ATTRIBUTE_MEMORY_TYPE ? CU_MEMORYTYPE_DEVICE : 0;
    return CUDA_SUCCESS;
}

/* ---- code: a cubin is an ELF file, which says what parameters a kernel has */
CUresult cuLibraryLoadData(CUlibrary *library, const void *code, CUjit_option *o, void **ov, unsigned on, CUlibraryOption *l, void **lv, unsigned ln) {
    BESIDE;
    if (memcmp(code, ELFMAG, SELFMAG)) return CUDA_ERROR_INVALID_IMAGE;
    const Elf64_Ehdr *head = code;
    size_t size = head->e_shoff + head->e_shentsize * head->e_shnum, end = head->e_phoff + head->e_phentsize * head->e_phnum;
    Library *made = calloc(1, sizeof *made);
    made->image = memcpy(malloc(size > end ? size : end), code, size > end ? size : end);
    *library = (CUlibrary)made;
    note("load");
    return CUDA_SUCCESS;
}
CUresult cuLibraryUnload(CUlibrary library) { ALWAYS; return CUDA_SUCCESS; }
CUresult cuLibraryGetKernel(CUkernel *kernel, CUlibrary library, const char *name) {
    BESIDE;
    char *image = ((Library *)library)->image, wanted[600];
    Elf64_Ehdr *head = (Elf64_Ehdr *)image;
    Elf64_Shdr *sections = (Elf64_Shdr *)(image + head->e_shoff);
    const char *names = image + sections[head->e_shstrndx].sh_offset;
    Kernel *made = calloc(1, sizeof *made);
    int found = 0;
    made->library = (Library *)library, made->dynamic = -1;
    strncpy(made->name, name, sizeof made->name - 1);
    for (int k = 0; k < head->e_shnum; k++) {
        const char *title = names + sections[k].sh_name;
        snprintf(wanted, sizeof wanted, ".nv.shared.%s", name);
        if (!strcmp(title, wanted)) made->shared = sections[k].sh_size;
        snprintf(wanted, sizeof wanted, ".nv.info.%s", name);
        if (strcmp(title, wanted)) continue;
        unsigned char *at = (unsigned char *)image + sections[k].sh_offset, *end = at + sections[k].sh_size;
        for (found = 1; at < end;) {
            unsigned size = at[0] == 4 ? at[2] | at[3] << 8 : 0;
            if (at[0] == 4 && at[1] == 0x17) { /* a parameter: its place among the others, its size */
                unsigned ordinal = at[8] | at[9] << 8, bits = *(unsigned *)(at + 12);
                if (ordinal >= PARAMS) return CUDA_ERROR_INVALID_IMAGE;
                made->sizes[ordinal] = bits >> 18;
                if ((int)ordinal >= made->params) made->params = ordinal + 1;
            }
            at += 4 + size;
        }
    }
    *kernel = (CUkernel)made;
    return found ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
CUresult cuKernelGetAttribute(int *value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device) {
    ENTER(1, 1);
    *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : attribute == CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES ? ((Kernel *)kernel)->shared : 0;
    return CUDA_SUCCESS;
}
CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device) {
    BESIDE;
    Kernel *of = (Kernel *)kernel;
    int most = (setting("FAKE_CUDA_CAPABILITY", 90) < 80 ? 64 : 227) * 1024;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value + of->shared > most) return CUDA_ERROR_INVALID_VALUE;
    of->dynamic = value;
    return CUDA_SUCCESS;
}

/* ---- streams, launches, graphs */
CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
    BESIDE;
    Stream *made = calloc(1, sizeof *made);
    made->nonblocking = flags & CU_STREAM_NON_BLOCKING, *stream = (CUstream)made;
    return CUDA_SUCCESS;
}
CUresult cuStreamDestroy(CUstream stream) { ALWAYS; return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream stream) { BESIDE; note("wait for %s", (uintptr_t)stream < 3 ? "a default stream" : "a stream"); return CUDA_SUCCESS; }
CUresult cuStreamGetCtx(CUstream stream, CUcontext *context) { ENTER(1, 1); *context = (CUcontext)&primary; return CUDA_SUCCESS; }
CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    BESIDE;
    Stream *of = (Stream *)stream;
    if ((uintptr_t)stream < 3 || of->capturing || !of->nonblocking) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    of->graph = calloc(1, sizeof *of->graph);
    of->graph->last = &of->graph->first, of->graph->alive = 1;
    of->capturing = 1, of->invalid = 0, captures++;
    note("capture");
    return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    ENTER(1, 1);
    Stream *of = (Stream *)stream;
    if (!of->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    of->capturing = 0, captures--;
    note("captured");
    if (graph) *graph = of->invalid ? NULL : (CUgraph)of->graph;
    return of->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}
static CUresult info(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph, size_t *count) {
    Stream *of = (Stream *)stream;
    *status = !of->capturing ? CU_STREAM_CAPTURE_STATUS_NONE : of->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (id) *id = 1;
    if (graph) *graph = (CUgraph)of->graph;
    if (count) *count = 0;
    return CUDA_SUCCESS;
}
CUresult fake_info_v2(CUstream s, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph, const CUgraphNode **nodes, size_t *count) { return info(s, status, id, graph, count); }
CUresult fake_info_v3(CUstream s, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph, const CUgraphNode **nodes, const CUgraphEdgeData **edges, size_t *count) { return info(s, status, id, graph, count); }
static CUresult refuse(Stream *of, const char *why, const char *name) {
    if (of) of->invalid = 1;
    note("refused launch %s: %s", name, why);
    return CUDA_ERROR_INVALID_VALUE;
}
CUresult cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction function, void **params, void **extra) {
    ENTER(1, 1);
    Kernel *kernel = (Kernel *)function;
    Stream *of = (uintptr_t)c->hStream < 3 ? NULL : (Stream *)c->hStream;
    unsigned most = kernel->dynamic >= 0 ? kernel->dynamic : 48 * 1024 - kernel->shared;
    if (captures && !(of && of->capturing)) return refuse(of, "not on the stream that is captured", kernel->name);
    if (!c->gridDimX || !c->gridDimY || !c->gridDimZ || c->blockDimX * c->blockDimY * c->blockDimZ - 1 >= 1024 || c->gridDimY > 65535)
        return refuse(of, "grid", kernel->name);
    if (c->sharedMemBytes > most) return refuse(of, "shared memory", kernel->name);
    Launch *made = calloc(1, sizeof *made);
    *made = (Launch){kernel, {c->gridDimX, c->gridDimY, c->gridDimZ}, {c->blockDimX, c->blockDimY, c->blockDimZ}, c->sharedMemBytes};
    for (int k = 0; k < kernel->params; k++) {
        if (kernel->sizes[k] == 8) memcpy(made->values + k, params[k], 8);
        if (was_freed(made->values[k])) return refuse(of, "memory that was freed", kernel->name);
    }
    note("%s %s %u,%u,%u %u %u %d", of ? "node" : "launch", kernel->name, c->gridDimX, c->gridDimY, c->gridDimZ, c->blockDimX, c->sharedMemBytes, kernel->params);
    if (of) *of->graph->last = made, of->graph->last = &made->next;
    else free(made);
    return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithParams(CUgraphExec *made, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params) {
    BESIDE;
    params->result_out = CUDA_GRAPH_INSTANTIATE_SUCCESS, *made = (CUgraphExec)graph;
    return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec made, CUstream stream) {
    BESIDE;
    int count = 0;
    for (Launch *each = ((Graph *)made)->first; each; each = each->next, count++)
        for (int k = 0; k < each->kernel->params; k++)
            if (was_freed(each->values[k])) return refuse(NULL, "a graph's memory was freed", each->kernel->name);
    note("replay %d", count);
    return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec made) { ALWAYS; note("drop"); return CUDA_SUCCESS; }
CUresult cuGraphDestroy(CUgraph graph) { ALWAYS; return CUDA_SUCCESS; }
CUresult cuUserObjectCreate(CUuserObject *made, void *of, CUhostFn destroy, unsigned references, unsigned flags) { ALWAYS; *made = malloc(1); return CUDA_SUCCESS; }
CUresult cuUserObjectRelease(CUuserObject object, unsigned count) { ALWAYS; return CUDA_SUCCESS; }
CUresult cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned count, unsigned flags) { ALWAYS; return CUDA_SUCCESS; }
CUresult cuGraphReleaseUserObject(CUgraph graph, CUuserObject object, unsigned count) { ALWAYS; return CUDA_SUCCESS; }
CUresult cuEventCreate(CUevent *event, unsigned flags) { BESIDE; *event = malloc(1); return CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent event, CUstream stream) { BESIDE; return CUDA_SUCCESS; }
CUresult cuEventSynchronize(CUevent event) { BESIDE; return CUDA_SUCCESS; }
CUresult cuEventElapsedTime(float *ms, CUevent one, CUevent other) { BESIDE; *ms = 1.0f; return CUDA_SUCCESS; }
CUresult cuEventDestroy(CUevent event) { ALWAYS; return CUDA_SUCCESS; }
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) { BESIDE; return CUDA_SUCCESS; }

#undef cuGetProcAddress
#define X(f) {#f, (void *)f}
CUresult cuGetProcAddress_v2(const char *name, void **found, int version, cuuint64_t flags, CUdriverProcAddressQueryResult *result) {
    static const struct { const char *name; void *function; } all[] = {
        X(cuGetErrorName), X(cuGetErrorString), X(cuInit), X(cuDriverGetVersion), X(cuDeviceGetCount), X(cuDeviceGet),
        X(cuDeviceGetName), {"cuDeviceGetUuid", (void *)cuDeviceGetUuid_v2}, X(cuDeviceTotalMem), X(cuDeviceGetAttribute),
        X(cuDevicePrimaryCtxRetain), X(cuDevicePrimaryCtxRelease), X(cuDevicePrimaryCtxReset), X(cuCtxGetCurrent),
        X(cuCtxSetCurrent), X(cuCtxPushCurrent), X(cuCtxPopCurrent), X(cuCtxGetDevice), X(cuCtxGetStreamPriorityRange),
        X(cuCtxSynchronize), X(cuMemGetInfo), X(cuMemAlloc), X(cuMemFree), X(cuMemcpyHtoD), X(cuMemcpyDtoH),
        X(cuMemcpyDtoD), X(cuMemcpyHtoDAsync), X(cuMemcpyDtoHAsync), X(cuMemcpyDtoDAsync), X(cuMemsetD8),
        X(cuPointerGetAttributes), X(cuPointerGetAttribute), X(cuLibraryLoadData), X(cuLibraryUnload),
        X(cuLibraryGetKernel), X(cuKernelGetAttribute), X(cuKernelSetAttribute), X(cuStreamCreateWithPriority),
        X(cuStreamDestroy), X(cuStreamSynchronize), X(cuStreamGetCtx), X(cuStreamBeginCapture), X(cuStreamEndCapture),
        X(cuLaunchKernelEx), X(cuGraphInstantiateWithParams), X(cuGraphLaunch), X(cuGraphExecDestroy), X(cuGraphDestroy),
        X(cuUserObjectCreate),
        X(cuUserObjectRelease), X(cuGraphRetainUserObject), X(cuGraphReleaseUserObject), X(cuEventCreate), X(cuEventRecord), X(cuEventSynchronize), X(cuEventElapsedTime), X(cuEventDestroy), X(cuStreamWaitEvent)};
    *found = NULL;
    if (!strcmp(name, "cuGetProcAddress")) *found = (void *)cuGetProcAddress_v2;
    if (!strcmp(name, "cuStreamGetCaptureInfo")) *found = version >= 12030 ? (void *)fake_info_v3 : (void *)fake_info_v2;
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) if (!strcmp(all[k].name, name)) *found = all[k].function;
    if (result) *result = *found ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *found ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
