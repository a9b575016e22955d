//! How long PaDiM's fit and its scoring head take: `cargo run -p models --example padim_speed`.
use std::time::Instant;
use models::{FeatureSource, MemoryFeatures, Model};
fn main() {
    let args = serde_json::json!({"backbone":"mobilenet_v2","layers":["features.3","features.6","features.13"],"n_features":100});
    let model = models::padim::Padim::new(args.as_object().unwrap(), Some([256,256]), 0).unwrap();
    let s = models::Stream::new(1,"x");
    let n=100; let data: Vec<f32> = (0..n*4096*100u64).map(|i| s.uniform(i)+ s.uniform(1<<40 | (i/409600*8 + i%7))).collect();
    let f = MemoryFeatures::new(4096,100,data).unwrap();
    let mut st=None;
    for t in [1,2,1,2] { let a=Instant::now(); st=Some(model.fit(&f,t,&|_,_|{}).unwrap()); println!("fit {t} threads {:?}", a.elapsed()); }
    let head = model.scorer(&st.unwrap()).unwrap().unwrap();
    let mut x = vec![0.0; 64*409600]; f.read(0..64,0..4096,&mut x).unwrap();
    let im: Vec<&[f32]> = x.chunks_exact(409600).collect();
    for b in [1,16,32,64,16,32,64] { let mut maps=vec![vec![0f32;4096];b]; let mut m: Vec<&mut [f32]>=maps.iter_mut().map(|v|v.as_mut_slice()).collect();
      let a=Instant::now(); head.score(&im[..b],0..4096,&mut m); println!("score {b}: {:.3} ms/image", a.elapsed().as_secs_f64()*1e3/b as f64); }
}
