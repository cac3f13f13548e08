// The files of apps/pages/, put into the program when it is built.
#pragma once

namespace swath::app {

extern const char* const kSearchHtml;
extern const char* const kSearchCss;
extern const char* const kSearchJs;

}  // namespace swath::app
