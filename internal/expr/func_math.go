package expr

var mathFunctions []function
