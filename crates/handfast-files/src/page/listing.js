(()=>{
const body=document.querySelector("tbody"),rows=[...body.rows].filter(row=>!row.classList.contains("u"));
const heads=[...document.querySelectorAll("thead th")],order=new Intl.Collator(undefined,{numeric:true});
const name=row=>row.cells[0].textContent,value=(row,column)=>Number(row.cells[column].dataset.v||-1);
let column=0,sign=1;
const sort=()=>{
  rows.sort((a,b)=>(b.className==="d")-(a.className==="d")||sign*(column?value(a,column)-value(b,column):order.compare(name(a),name(b)))||order.compare(name(a),name(b)));
  body.append(...rows);
  heads.forEach((head,index)=>index===column?head.setAttribute("aria-sort",sign>0?"ascending":"descending"):head.removeAttribute("aria-sort"));
};
heads.forEach((head,index)=>{
  const button=document.createElement("button");
  button.type="button";button.append(...head.childNodes);head.append(button);
  button.onclick=()=>{sign=index===column?-sign:index?-1:1;column=index;sort()};
});
heads[0].setAttribute("aria-sort","ascending");
const form=document.querySelector("form"),input=form.elements.filter,count=form.querySelector("output"),more=document.getElementById("more");
form.onsubmit=event=>event.preventDefault();
input.oninput=()=>{
  const wanted=input.value.toLowerCase();let shown=0;
  rows.forEach(row=>{row.hidden=!name(row).toLowerCase().includes(wanted);shown+=!row.hidden});
  count.value=wanted?`${shown} of ${more?"the first ":""}${rows.length}`:"";
};
form.hidden=false;
})();
