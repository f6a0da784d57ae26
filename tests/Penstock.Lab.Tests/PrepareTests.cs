using Penstock.Lab.Qemu;

namespace Penstock.Lab.Tests;

/// <summary>Preparation with folders of fake programs for a PATH: what people read when something is not as it should be.</summary>
public sealed class PrepareTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<string, string> _variables = [];

    public PrepareTests()
    {
        _variables["PATH"] = _folder.File("bin") + ":/usr/bin:/bin";
        _variables["HOME"] = _folder.File("home");
        Directory.CreateDirectory(_folder.File("bin"));
    }

    public void Dispose() => _folder.Dispose();

    private LabEnvironment Environment => new(name => _variables.GetValueOrDefault(name), _folder.File("apt"));

    private Task<VmLab> PrepareAsync(LabOptions? options = null, GuestArchitecture architecture = GuestArchitecture.X86_64) =>
        VmLab.PrepareAsync(architecture, options ?? new LabOptions(), Environment, CancellationToken.None);

    private void FakeQemu(string name, string version) => _folder.Program(name, $"echo 'QEMU emulator version {version} (Debian 1:{version}+ds-1)'");

    /// <summary>A PATH of fakes only, apart from what the supervising shell and the fakes themselves use.</summary>
    private void WithoutDebian() => _variables["PATH"] = _folder.File("bin");

    private LabOptions AllNamed()
    {
        File.WriteAllText(_folder.File("vmlinuz"), "kernel");
        File.WriteAllText(_folder.File("busybox"), "busybox");
        return new LabOptions { KernelPath = _folder.File("vmlinuz"), BusyboxPath = _folder.File("busybox") };
    }

    [Theory]
    [InlineData("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)\nCopyright (c)", "11.1.3")]
    [InlineData("QEMU emulator version 7.2.17\n", "7.2.17")]
    [InlineData("QEMU emulator version 12.0", "12.0.0")]
    public void Parse_VersionLine_GivesTheVersion(string text, string version)
    {
        Assert.Equal(Version.Parse(version), QemuVersion.Parse(text));
    }

    [Fact]
    public void Parse_OtherText_GivesNothing()
    {
        Assert.Null(QemuVersion.Parse("qemu-system-x86_64: error while loading shared libraries"));
    }

    [Fact]
    public async Task Prepare_NamedQemuTooOld_NamesVersionPlaceAndRemedy()
    {
        FakeQemu("old/qemu-system-x86_64", "10.1.2");
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync(new LabOptions { QemuPath = _folder.File("old/qemu-system-x86_64") }));
        Assert.Contains(_folder.File("old/qemu-system-x86_64") + " is QEMU 10.1.2", error.Message, StringComparison.Ordinal);
        Assert.Contains("needs 11 or newer", error.Message, StringComparison.Ordinal);
        Assert.Contains("PENSTOCK_QEMU", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prepare_NamedQemuAbsent_NamesThePath()
    {
        _variables["PENSTOCK_QEMU"] = _folder.File("nowhere");
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync());
        Assert.Contains(_folder.File("nowhere") + " (QemuPath or PENSTOCK_QEMU), and there is no such file", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prepare_NamedQemuThatIsNone_ShowsItsWords()
    {
        var broken = _folder.Program("qemu", "echo 'cannot find libpixman' >&2; exit 127");
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync(new LabOptions { QemuPath = broken }));
        Assert.Contains("exit status 127: cannot find libpixman", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prepare_NotDebianAndOldQemuOnPath_NamesAllThatIsMissing()
    {
        WithoutDebian();
        FakeQemu("bin/qemu-system-x86_64", "9.2.0");
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync());
        Assert.Contains($"a newer QEMU ({_folder.File("bin/qemu-system-x86_64")} is version 9.2.0), a kernel, busybox for x86_64", error.Message, StringComparison.Ordinal);
        Assert.Contains("no apt-get", error.Message, StringComparison.Ordinal);
        foreach (var remedy in (string[])["PENSTOCK_QEMU", "PENSTOCK_KERNEL", "PENSTOCK_MODULES", "PENSTOCK_BUSYBOX"])
        {
            Assert.Contains(remedy, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Prepare_EverythingNamed_FetchesNothingAndIsKnownAgain()
    {
        WithoutDebian();
        FakeQemu("bin/qemu-system-x86_64", "11.0.1");
        var lab = await PrepareAsync(AllNamed());
        Assert.Equal(new Version(11, 0, 1), lab.QemuVersion);
        Assert.Equal(_folder.File("bin/qemu-system-x86_64"), lab.QemuPath);
        Assert.Equal(_folder.File("vmlinuz"), lab.KernelPath);
        Assert.Null(lab.KernelRelease);
        Assert.StartsWith(_folder.File("home/.cache/penstock/lab/"), lab.InitramfsPath, StringComparison.Ordinal);
        var entries = CpioReader.Read(await File.ReadAllBytesAsync(lab.InitramfsPath));
        Assert.Equal("busybox"u8.ToArray(), entries.Single(e => e.Name == "bin/busybox").Content);

        var again = await PrepareAsync(AllNamed());
        Assert.NotEqual(lab.InitramfsPath, again.InitramfsPath); // AllNamed wrote the files anew
        Assert.Equal(again.InitramfsPath, (await PrepareAsync(new LabOptions { KernelPath = _folder.File("vmlinuz"), BusyboxPath = _folder.File("busybox") })).InitramfsPath);
    }

    [Fact]
    public async Task Prepare_AnotherKernel_KeepsWhatOtherRecordsName()
    {
        WithoutDebian();
        FakeQemu("bin/qemu-system-x86_64", "11.0.1");
        _variables["PENSTOCK_LAB"] = _folder.File("cache");
        var first = await PrepareAsync(AllNamed());
        string folder = Path.GetDirectoryName(first.InitramfsPath)!;
        File.WriteAllLines(Path.Combine(folder, "kernel"), ["format=2", "key=", "kernel=x86_64/vmlinuz-debian", "initramfs=x86_64/initramfs-debian.cpio"]);
        foreach (string name in new[] { "vmlinuz-debian", "initramfs-debian.cpio", "vmlinuz-forgotten", "initramfs-forgotten.cpio" })
        {
            File.WriteAllText(Path.Combine(folder, name), name);
            File.SetLastWriteTimeUtc(Path.Combine(folder, name), DateTime.UtcNow.AddDays(-2));
        }

        var second = await PrepareAsync(AllNamed());
        Assert.NotEqual(first.InitramfsPath, second.InitramfsPath);
        Assert.True(File.Exists(first.InitramfsPath), "the initramfs of a lab that was prepared just now is gone");
        Assert.True(File.Exists(Path.Combine(folder, "vmlinuz-debian")) && File.Exists(Path.Combine(folder, "initramfs-debian.cpio")));
        Assert.False(File.Exists(Path.Combine(folder, "vmlinuz-forgotten")) || File.Exists(Path.Combine(folder, "initramfs-forgotten.cpio")));
    }

    [Fact]
    public async Task Prepare_VariableWithArchitecture_WinsOverThePlainOne()
    {
        WithoutDebian();
        FakeQemu("s390/qemu-system-s390x", "11.2.0");
        AllNamed();
        _variables["PENSTOCK_QEMU"] = _folder.File("nowhere");
        _variables["PENSTOCK_QEMU_S390X"] = _folder.File("s390");
        _variables["PENSTOCK_KERNEL"] = _folder.File("vmlinuz");
        _variables["PENSTOCK_BUSYBOX"] = _folder.File("busybox");
        _variables["PENSTOCK_LAB"] = _folder.File("cache");
        var lab = await PrepareAsync(architecture: GuestArchitecture.S390x);
        Assert.Equal(_folder.File("s390/qemu-system-s390x"), lab.QemuPath);
        Assert.StartsWith(_folder.File("cache/s390x/"), lab.InitramfsPath, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prepare_NoDebianArchiveInSources_SaysSo()
    {
        _folder.Program("bin/apt-get", "exit 0");
        _folder.Program("bin/dpkg-deb", "exit 0");
        _folder.Program("bin/dpkg", "echo amd64");
        Directory.CreateDirectory(_folder.File("apt"));
        await File.WriteAllTextAsync(_folder.File("apt/sources.list"), "deb http://u.example/ubuntu noble main\n");
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync());
        Assert.Contains($"no Debian archive among the apt sources in {_folder.File("apt")}", error.Message, StringComparison.Ordinal);
        Assert.Contains("PENSTOCK_KERNEL", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prepare_NoNetwork_GivesAptsReasonInOneLineAndTheLog()
    {
        _folder.Program("bin/apt-get", "echo 'Err:1 http://m.example/debian trixie InRelease'\necho 'E: Could not resolve host m.example' >&2\nexit 100");
        _folder.Program("bin/dpkg-deb", "exit 0");
        _folder.Program("bin/dpkg", "echo amd64");
        Directory.CreateDirectory(_folder.File("apt"));
        await File.WriteAllTextAsync(_folder.File("apt/sources.list"), "deb http://m.example/debian trixie main\n");
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync(new LabOptions { CacheFolder = _folder.File("cache") }));
        Assert.DoesNotContain('\n', error.Message);
        Assert.Contains("Could not resolve host m.example; check the network", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("Details: " + _folder.File("cache/apt.log"), error.Message, StringComparison.Ordinal);
        Assert.Contains("Err:1", await File.ReadAllTextAsync(_folder.File("cache/apt.log")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Hash Sum mismatch", 2)]
    [InlineData("Could not connect to m.example:80 (192.0.2.1), connection timed out", 1)]
    public async Task Prepare_NoPackageLists_AsksAgainUnlessTheMirrorIsSilent(string reason, int times)
    {
        _folder.Program("bin/apt-get", $"echo 'Err:1'; echo 'E: Failed to fetch: {reason}' >&2; exit 100");
        _folder.Program("bin/dpkg-deb", "exit 0");
        _folder.Program("bin/dpkg", "echo amd64");
        Directory.CreateDirectory(_folder.File("apt"));
        await File.WriteAllTextAsync(_folder.File("apt/sources.list"), "deb http://m.example/debian trixie main\n");
        await Assert.ThrowsAsync<LabException>(() => PrepareAsync(new LabOptions { CacheFolder = _folder.File("cache") }));
        Assert.Equal(times, (await File.ReadAllTextAsync(_folder.File("cache/apt.log"))).Split("Err:1").Length - 1);
    }

    [Fact]
    public async Task Prepare_CancelledWhileItFetches_LeavesNoApt()
    {
        _folder.Program("bin/apt-get", $"echo $$ > '{_folder.File("part")}'; mv '{_folder.File("part")}' '{_folder.File("pid")}'; exec sleep 600");
        _folder.Program("bin/dpkg-deb", "exit 0");
        _folder.Program("bin/dpkg", "echo amd64");
        Directory.CreateDirectory(_folder.File("apt"));
        await File.WriteAllTextAsync(_folder.File("apt/sources.list"), "deb http://m.example/debian trixie main\n");
        using var cancel = new CancellationTokenSource();
        var prepare = VmLab.PrepareAsync(GuestArchitecture.X86_64, new LabOptions { CacheFolder = _folder.File("cache") }, Environment, cancel.Token);
        Assert.True(SpinWait.SpinUntil(() => File.Exists(_folder.File("pid")), TimeSpan.FromMinutes(3)), "apt-get was not started");
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => prepare);
        Assert.False(SupervisedProcessTests.Lives(int.Parse(await File.ReadAllTextAsync(_folder.File("pid")), System.Globalization.CultureInfo.InvariantCulture)));
        await using var free = await FolderLock.TakeAsync(_folder.File("cache"), null, CancellationToken.None);
    }

    [Fact]
    public async Task Prepare_FolderLockedByAnother_WaitsForIt()
    {
        WithoutDebian();
        FakeQemu("bin/qemu-system-x86_64", "11.0.1");
        var waiting = new TaskCompletionSource();
        var options = AllNamed() with
        {
            CacheFolder = _folder.File("cache"),
            Progress = new Told(p =>
            {
                if (p.Step.StartsWith("waiting for another process", StringComparison.Ordinal))
                {
                    waiting.TrySetResult();
                }
            }),
        };
        var other = await FolderLock.TakeAsync(_folder.File("cache"), null, CancellationToken.None);
        var prepare = PrepareAsync(options);
        await waiting.Task.WaitAsync(TimeSpan.FromMinutes(2));
        Assert.False(prepare.IsCompleted);
        await other.DisposeAsync();
        Assert.True(File.Exists((await prepare).InitramfsPath));
    }

    [Fact]
    public async Task Prepare_FolderThatCannotBeMade_NamesItAndTheVariable()
    {
        WithoutDebian();
        FakeQemu("bin/qemu-system-x86_64", "11.0.1");
        await File.WriteAllTextAsync(_folder.File("file"), "");
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync(AllNamed() with { CacheFolder = _folder.File("file/lab") }));
        Assert.Contains(_folder.File("file/lab") + " cannot be made", error.Message, StringComparison.Ordinal);
        Assert.Contains("PENSTOCK_LAB", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prepare_LockThatCannotBeOpened_IsNoReasonToWait()
    {
        WithoutDebian();
        FakeQemu("bin/qemu-system-x86_64", "11.0.1");
        Directory.CreateDirectory(_folder.File("cache/lock"));
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync(AllNamed() with { CacheFolder = _folder.File("cache") }));
        Assert.Contains("cannot be written", error.Message, StringComparison.Ordinal);
    }

    private sealed class Told(Action<LabProgress> action) : IProgress<LabProgress>
    {
        public void Report(LabProgress value) => action(value);
    }
}
