using System.Text;

namespace Penstock.Lab.Tests;

/// <summary>Packages for guests, with fakes of apt-get and dpkg-deb that note what they were asked for.</summary>
public sealed class GuestPackageTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public GuestPackageTests()
    {
        Directory.CreateDirectory(_folder.File("bin"));
        Directory.CreateDirectory(_folder.File("apt"));
        File.WriteAllText(_folder.File("apt/sources.list"), "deb http://m.example/debian trixie main\n");
        File.WriteAllText(_folder.File("vmlinuz"), "kernel");
        File.WriteAllText(_folder.File("busybox"), "busybox");
        _folder.Program("qemu", "echo 'QEMU emulator version 11.1.0'");
    }

    public void Dispose() => _folder.Dispose();

    private string Asked => File.Exists(_folder.File("asked")) ? File.ReadAllText(_folder.File("asked")) : "";

    private Task<VmLab> PrepareAsync(
        IReadOnlyList<string> packages, GuestArchitecture architecture = GuestArchitecture.X86_64, List<LabProgress>? progress = null)
    {
        var variables = new Dictionary<string, string> { ["PATH"] = _folder.File("bin") + (HasDebian ? ":/usr/bin:/bin" : ""), ["HOME"] = _folder.Path };
        var options = new LabOptions
        {
            CacheFolder = _folder.File("cache"),
            QemuPath = _folder.File("qemu"),
            KernelPath = _folder.File("vmlinuz"),
            BusyboxPath = _folder.File("busybox"),
            GuestPackages = packages,
            Progress = progress is null ? null : new Listing(progress),
        };
        return VmLab.PrepareAsync(architecture, options, new LabEnvironment(variables.GetValueOrDefault, _folder.File("apt")), CancellationToken.None);
    }

    private bool HasDebian => File.Exists(_folder.File("bin/apt-get"));

    /// <summary>An archive with tool and other, which both need lib; each package holds what its name calls for.</summary>
    private void FakeDebian()
    {
        _folder.Program("bin/apt-get", $$"""
            echo "apt-get $*" >> {{_folder.File("asked")}}
            lists=$(dirname "$APT_CONFIG")/lists
            for name in "$@"; do :; done
            case $* in
              *update*) mkdir -p "$lists"; touch "$lists/m_dists_trixie_main_binary-amd64_Packages" "$lists/m_dists_trixie_main_binary-s390x_Packages";;
              *install*tool|*install*other)
                for file in lib_1%3a2_amd64.deb "${name}_3_all.deb"; do
                  case $* in
                    *--print-uris*) echo "'http://m.example/debian/pool/$file' $file 4 MD5Sum:00";;
                    *) mkdir -p {{_folder.File("cache/packages")}}; echo deb > {{_folder.File("cache/packages")}}/$file;;
                  esac
                done;;
              *) echo "E: Unable to locate package $name" >&2; exit 100;;
            esac
            """);
        _folder.Program("bin/dpkg-deb", $$"""
            echo "dpkg-deb $(basename "$2")" >> {{_folder.File("asked")}}
            cd "$3" || exit 1
            case $2 in
              */lib_*)
                mkdir -p usr/lib/arch/gconv usr/lib64 usr/share/doc/lib usr/share/locale/de
                echo loader > usr/lib/arch/ld.so.2
                ln -s ../lib/arch/ld.so.2 usr/lib64/ld.so.2
                echo word > usr/share/doc/lib/copyright
                echo wort > usr/share/locale/de/words
                echo set > usr/lib/arch/gconv/BIG5.so;;
              *) mkdir -p usr/bin usr/share/misc; echo program > usr/bin/tool; chmod 755 usr/bin/tool; echo data > usr/share/misc/tool.ids;;
            esac
            """);
    }

    private static List<CpioEntry> Entries(VmLab lab, string package) =>
        [.. lab.PackageArchives[package].SelectMany(file => CpioReader.Read(File.ReadAllBytes(file))).Where(e => e.Name != "TRAILER!!!")];

    [Fact]
    public async Task Prepare_Package_BecomesAnArchiveWithItsDependenciesAndWithoutDocuments()
    {
        FakeDebian();
        var progress = new List<LabProgress>();
        var lab = await PrepareAsync(["tool"], progress: progress);
        Assert.Equal(["tool"], lab.Packages);
        var entries = Entries(lab, "tool");
        Assert.Equal(
            ["usr/lib/arch", "usr/lib/arch/ld.so.2", "usr/lib64", "usr/lib64/ld.so.2", "lib64/ld.so.2", "usr/share", "usr/bin/tool", "usr/share", "usr/share/misc", "usr/share/misc/tool.ids"],
            entries.Select(e => e.Name));
        Assert.Equal("../lib/arch/ld.so.2", Encoding.UTF8.GetString(entries.Single(e => e.Name == "usr/lib64/ld.so.2").Content));
        Assert.Equal("/usr/lib64/ld.so.2", Encoding.UTF8.GetString(entries.Single(e => e.Name == "lib64/ld.so.2").Content));
        Assert.Equal(0x81EDu, entries.Single(e => e.Name == "usr/bin/tool").Mode);
        Assert.Contains(progress, p => p is { Step: "tool for x86_64 guests", DoneBytes: 8, TotalBytes: 8 });
        Assert.Contains(progress, p => p.Step == "unpacking tool for x86_64 guests");
        Assert.False(Directory.Exists(_folder.File("cache/x86_64/packages/work")));
    }

    [Fact]
    public async Task Prepare_PackagesThatShareOne_UnpackItOnceAndFetchNothingAgain()
    {
        FakeDebian();
        var first = await PrepareAsync(["tool"]);
        var second = await PrepareAsync(["other", "tool", "other"]);
        Assert.Equal(["other", "tool"], second.Packages);
        Assert.Equal(first.PackageArchives["tool"][0], second.PackageArchives["other"][0]);
        Assert.Equal(1, Asked.Split('\n').Count(line => line.StartsWith("dpkg-deb lib_", StringComparison.Ordinal)));
        var asked = Asked;
        await PrepareAsync(["other", "tool"]);
        Assert.Equal(asked, Asked);
        Assert.Empty((await PrepareAsync([])).Packages);
    }

    [Fact]
    public async Task Prepare_ArchiveThatIsGone_IsMadeAgain()
    {
        FakeDebian();
        var archive = (await PrepareAsync(["tool"])).PackageArchives["tool"][1];
        File.Delete(archive);
        await PrepareAsync(["tool"]);
        Assert.True(File.Exists(archive));
    }

    [Fact]
    public async Task Prepare_Package_AptTakesMaintainersToolsForInstalled()
    {
        FakeDebian();
        await PrepareAsync(["tool"]);
        Assert.All(
            Asked.Split('\n').Where(line => line.Contains("install", StringComparison.Ordinal)),
            line => Assert.Contains("-o Dir::State::status=" + _folder.File("cache/apt/amd64/status-assumed"), line, StringComparison.Ordinal));
        Assert.Contains("Package: debconf\nStatus: install ok installed\n", await File.ReadAllTextAsync(_folder.File("cache/apt/amd64/status-assumed")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prepare_PackageOfAnotherArchitecture_IsFetchedForIt()
    {
        FakeDebian();
        var lab = await PrepareAsync(["tool"], GuestArchitecture.S390x);
        Assert.All(lab.PackageArchives["tool"], file => Assert.StartsWith(_folder.File("cache/s390x/packages/"), file, StringComparison.Ordinal));
        Assert.True(Directory.Exists(_folder.File("cache/apt/s390x/lists")));
    }

    [Fact]
    public async Task Prepare_PackageThatDebianDoesNotHave_NamesIt()
    {
        FakeDebian();
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync(["tool", "pciutil"]));
        Assert.Contains("trixie has no package pciutil for amd64", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Theory]
    [InlineData("tool=1.2")]
    [InlineData("tool-")]
    [InlineData("-o")]
    [InlineData("tool other")]
    [InlineData("")]
    public async Task Prepare_WhatIsNoPackageName_IsRefusedBeforeAnythingRuns(string name)
    {
        FakeDebian();
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync([name]));
        Assert.Contains($"'{name}' in LabOptions.GuestPackages", error.Message, StringComparison.Ordinal);
        Assert.Equal("", Asked);
    }

    [Fact]
    public async Task Prepare_PackageWithoutDebian_SaysWhatToDoInstead()
    {
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync(["tool"]));
        Assert.Contains("cannot fetch the guest packages tool for x86_64 guests: this machine has no apt-get", error.Message, StringComparison.Ordinal);
        Assert.Contains("GuestConfiguration.Files", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_PackageNotInTheLab_NamesItAndTheOption()
    {
        FakeDebian();
        var lab = await PrepareAsync(["tool"]);
        var error = await Assert.ThrowsAsync<LabException>(() => Guest.StartAsync(lab, new GuestConfiguration { Packages = ["tool", "pciutils"] }));
        Assert.Contains("package pciutils is not in the lab for x86_64 guests; add it to LabOptions.GuestPackages", error.Message, StringComparison.Ordinal);
    }

    private sealed class Listing(List<LabProgress> to) : IProgress<LabProgress>
    {
        public void Report(LabProgress value)
        {
            lock (to)
            {
                to.Add(value);
            }
        }
    }
}
