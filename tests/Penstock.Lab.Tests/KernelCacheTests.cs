namespace Penstock.Lab.Tests;

/// <summary>Kernels in the cache folder over several preparations, with a fake Debian whose kernel was built years ago.</summary>
public sealed class KernelCacheTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public KernelCacheTests()
    {
        Directory.CreateDirectory(_folder.File("apt"));
        File.WriteAllText(_folder.File("apt/sources.list"), "deb http://m.example/debian trixie main\n");
        File.WriteAllText(_folder.File("busybox"), "busybox");
        File.WriteAllText(_folder.File("vmlinuz"), "a kernel of one's own");
        _folder.Program("qemu", "case $* in *--version*) echo 'QEMU emulator version 11.1.0';; *) echo 'cannot load that' >&2; exit 1;; esac");
        _folder.Program("bin/dpkg-deb", """
            mkdir -p "$3/boot" "$3/usr/lib/modules/6.1" "$3/usr/bin"
            echo kernel > "$3/boot/vmlinuz-6.1"
            echo busybox > "$3/usr/bin/busybox"
            touch -d 2020-02-02 "$3/boot/vmlinuz-6.1"
            """);
        _folder.Program("bin/apt-get", $$"""
            echo "$*" >> {{_folder.File("asked")}}
            lists=$(dirname "$APT_CONFIG")/lists
            for name in "$@"; do :; done
            file=$name; case $name in linux-image-*) file=linux-image-6.1;; esac
            case $* in
              *update*) mkdir -p "$lists"; touch "$lists/m_dists_trixie_main_binary-amd64_Packages";;
              *--print-uris*) echo "'http://m.example/debian/pool/$file' ${file}_1_amd64.deb 4 MD5Sum:00";;
              *) echo deb > {{_folder.File("cache/packages")}}/${file}_1_amd64.deb;;
            esac
            """);
    }

    public void Dispose() => _folder.Dispose();

    private Task<VmLab> PrepareAsync(string? kernel = null, string? busybox = null, params string[] extraModules)
    {
        var variables = new Dictionary<string, string> { ["PATH"] = _folder.File("bin") + ":/usr/bin:/bin", ["HOME"] = _folder.Path };
        var options = new LabOptions
        {
            CacheFolder = _folder.File("cache"),
            QemuPath = _folder.File("qemu"),
            KernelPath = kernel,
            BusyboxPath = busybox,
            ExtraModules = extraModules,
        };
        return VmLab.PrepareAsync(
            GuestArchitecture.X86_64, options, new LabEnvironment(variables.GetValueOrDefault, _folder.File("apt")), CancellationToken.None);
    }

    private static void Age(params string[] files)
    {
        foreach (var file in files)
        {
            File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddDays(-2));
        }
    }

    private static void AssertThere(VmLab lab)
    {
        Assert.True(File.Exists(lab.KernelPath), lab.KernelPath);
        Assert.True(File.Exists(lab.InitramfsPath), lab.InitramfsPath);
    }

    [Fact]
    public async Task Prepare_AgainWithOtherWishes_LeavesTheFirstLabItsFiles()
    {
        var first = await PrepareAsync();
        var second = await PrepareAsync(extraModules: "more");
        Assert.NotEqual(first.KernelPath, second.KernelPath);
        AssertThere(first);
        AssertThere(second);
        Assert.Equal("Linux 6.1", second.KernelDescription);
    }

    [Fact]
    public async Task Prepare_NamedKernelLongAfterDebians_DebiansIsStillKnown()
    {
        var debian = await PrepareAsync();
        Age(debian.KernelPath, debian.InitramfsPath);
        var named = await PrepareAsync(_folder.File("vmlinuz"), _folder.File("busybox"));
        AssertThere(debian);
        Assert.Equal("the named kernel " + _folder.File("vmlinuz"), named.KernelDescription);
        Assert.Equal(debian.KernelPath, (await PrepareAsync()).KernelPath);
    }

    [Fact]
    public async Task Prepare_DebiansKernelLongAfterOneWithNamedBusybox_TheOtherIsStillKnown()
    {
        var other = await PrepareAsync(busybox: _folder.File("busybox"));
        Age(other.KernelPath, other.InitramfsPath);
        await PrepareAsync();
        AssertThere(other);
        Assert.Equal(other.KernelPath, (await PrepareAsync(busybox: _folder.File("busybox"))).KernelPath);
    }

    [Fact]
    public async Task Prepare_KnownKernel_CountsAsUse()
    {
        var made = await PrepareAsync();
        Age(made.KernelPath, made.InitramfsPath);
        var known = await PrepareAsync();
        Assert.Equal(made.KernelPath, known.KernelPath);
        await PrepareAsync(extraModules: "more");
        AssertThere(known);
    }

    [Fact]
    public async Task Prepare_FilesThatNobodyUsedForADay_AreRemoved()
    {
        var first = await PrepareAsync();
        await PrepareAsync(extraModules: "more");
        Age(first.KernelPath, first.InitramfsPath);
        AssertThere(await PrepareAsync(extraModules: ["more", "still_more"]));
        Assert.False(File.Exists(first.KernelPath));
        Assert.False(File.Exists(first.InitramfsPath));
    }

    [Fact]
    public async Task Prepare_KnownNamedKernel_IsNotTouched()
    {
        Age(_folder.File("vmlinuz"));
        var time = File.GetLastWriteTimeUtc(_folder.File("vmlinuz"));
        await PrepareAsync(_folder.File("vmlinuz"), _folder.File("busybox"));
        await PrepareAsync(_folder.File("vmlinuz"), _folder.File("busybox"));
        Assert.Equal(time, File.GetLastWriteTimeUtc(_folder.File("vmlinuz")));
    }

    [Fact]
    public async Task Prepare_NamedKernelAbsent_SaysSoBeforeAnythingIsFetched()
    {
        var error = await Assert.ThrowsAsync<LabException>(() => PrepareAsync(_folder.File("nope")));
        Assert.Contains($"the kernel is to be {_folder.File("nope")} (KernelPath or PENSTOCK_KERNEL), and there is no such file", error.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder.File("asked")));
    }

    [Fact]
    public async Task Start_NamedKernelThatQemuRefuses_IsNamedAsAPossibleCause()
    {
        var lab = await PrepareAsync(_folder.File("vmlinuz"), _folder.File("busybox"));
        var error = await Assert.ThrowsAsync<LabException>(() => Guest.StartAsync(lab, new GuestConfiguration()));
        Assert.Contains("cannot load that", error.Message, StringComparison.Ordinal);
        Assert.Contains($"{_folder.File("vmlinuz")} (KernelPath or PENSTOCK_KERNEL) may be none that QEMU can boot", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_DebiansKernel_IsNotBlamed()
    {
        var lab = await PrepareAsync();
        var error = await Assert.ThrowsAsync<LabException>(() => Guest.StartAsync(lab, new GuestConfiguration()));
        Assert.EndsWith("correct the guest's devices or arguments", error.Message, StringComparison.Ordinal);
    }
}
