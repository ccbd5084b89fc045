package expr

var timeFunctions []function
