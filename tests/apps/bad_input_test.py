"""Archives that are wrong or hostile, and a full disk while packing: exit codes, sentences, and that nothing is lost."""
import os
import resource
import shutil
import subprocess
import unittest

from program_test import SWATH, Program

SIZE = ["--set", "data.image_size=32"]


class BadArchives(Program):
    def test_a_manifest_that_leaves_the_root(self):
        for number, path in enumerate(("../secret.jpg", "/etc/passwd", "Images/../../secret.jpg")):
            with open(self.path("scenes", f"m{number}.csv"), "w") as file:
                file.write(f"path,water\n{path},1\n")
            self.refused(3, [f"m{number}.csv", "line 2"], "stats", "--root", "scenes", "--set", "data.format=csv", "--set",
                         f"data.manifest=m{number}.csv")

    def test_a_label_file_that_leaves_the_root(self):
        shutil.copytree(self.path("scenes"), self.path("climbing"))
        labels = self.path("climbing", "labels")
        name = sorted(os.listdir(labels))[0]
        with open(os.path.join(labels, name)) as file:
            lines = file.read().splitlines()
        cells = lines[1].split(",")
        lines[1] = ",".join(["../../secret.jpg"] + cells[1:])
        with open(os.path.join(labels, name), "w") as file:
            file.write("\n".join(lines) + "\n")
        self.refused(3, [name], "stats", "--root", "climbing")

    def test_a_band_of_another_size(self):
        geotiff = [f for f in self.json("doctor")["findings"] if f["name"] == "GeoTIFF"][0]
        if not geotiff["present"]:
            self.skipTest("this build has no GDAL")
        self.ok("scenes", "--out", "sentinel", "--layout", "bigearthnet", "--images", "60")
        patch = next(name for name in sorted(os.listdir(self.path("sentinel"))) if os.path.isdir(self.path("sentinel", name)))
        band = self.path("sentinel", patch, patch + "_")
        shutil.copyfile(band + "B01.tif", band + "B02.tif")
        words = ["pack", "--root", "sentinel", "--packed", "sized"]
        pack = self.json(*words, "--set", "data.max_unreadable_share=0.9")
        skipped = [entry for part in pack["skipped_images"].values() for entry in part]
        self.assertEqual(len(skipped), 1)
        self.assertIn("B02", skipped[0]["reason"])
        shutil.rmtree(self.path("sized"))
        self.refused(3, ["B02"], *words, "--set", "data.max_unreadable_share=0.001")

    def test_a_full_disk_while_packing(self):
        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        done = subprocess.run([SWATH, "pack", "--root", "scenes", "--packed", "full", *SIZE], cwd=self.folder, text=True,
                              capture_output=True, preexec_fn=small_files)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("full/", done.stderr)
        self.assertFalse(os.path.exists(self.path("full", "train.npy")))
        pack = self.json("pack", "--root", "scenes", "--packed", "full", *SIZE)
        self.assertEqual(sum(part["images"] for part in pack["parts"]), 96)


if __name__ == "__main__":
    unittest.main()
