/* The web page: the files of infer/serve/page, which travel inside the program. */
#ifndef CAMBIUM_INFER_SERVE_PAGE_H
#define CAMBIUM_INFER_SERVE_PAGE_H

typedef struct PageFile {
    const char *name, *text;
} PageFile;

/* The last one has no name. */
extern const PageFile page_files[];

#endif
