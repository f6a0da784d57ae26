using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio.Tests.Iommufd;

/// <summary>A host with one device, an iommufd, and its user, who has page-aligned memory at made-up addresses.</summary>
internal sealed class IommufdRig : IDisposable
{
    public const ulong Page = 4096;
    public const ulong Buffer = 0x7000_0000_0000;
    public const int BufferPages = 64;

    public IommufdRig(IommuUnitOptions? unit = null, Caller? caller = null)
    {
        Rig = new Rig(unit);
        Memory = new FakeUser(Buffer, BufferPages * Page);
        Context = Rig.Host.OpenIommufd(caller ?? Rig.User, Memory, Files);
    }

    public Rig Rig { get; }

    public FakeUser Memory { get; }

    public UserFiles Files { get; } = new();

    public IommufdContext Context { get; }

    /// <summary>Files opened by the rig.</summary>
    public List<VfioCdevFile> Opened { get; } = [];

    /// <summary>The rig's device, bound.</summary>
    public VfioCdevFile Bind()
    {
        VfioCdevFile file = Rig.Host.OpenCdev(Rig.Device.Name, Rig.User, files: Files);
        Opened.Add(file);
        file.Bind(Context);
        return file;
    }

    /// <summary>The rig's device, bound and attached.</summary>
    public (VfioCdevFile File, Ioas Ioas) Attach()
    {
        Ioas ioas = Context.AllocateIoas();
        VfioCdevFile file = Bind();
        file.Attach(ioas.Id);
        return (file, ioas);
    }

    /// <summary>Another device in the rig's group.</summary>
    public VfioCdevFile BindSibling(string name = "sibling")
    {
        Rig.Host.Register(new FakeDevice(name), Rig.Group);
        VfioCdevFile file = Rig.Host.OpenCdev(name, Rig.User, files: Files);
        file.Bind(Context);
        return file;
    }

    public int Ioctl<T>(IommufdRequest request, ref T argument)
        where T : unmanaged => Context.Ioctl((uint)request, MemoryMarshal.AsBytes(new Span<T>(ref argument)));

    public Errno IoctlError<T>(IommufdRequest request, T argument)
        where T : unmanaged => IoctlError(request, ref argument);

    public Errno IoctlError<T>(IommufdRequest request, ref T argument)
        where T : unmanaged
    {
        try
        {
            Ioctl(request, ref argument);
            return Errno.None;
        }
        catch (VfioException e)
        {
            return e.Errno;
        }
    }

    public void Dispose()
    {
        Context.Dispose();
        Assert.Equal(0ul, Context.PinnedPages);
        Assert.Equal(0ul, Context.LockedBytes);
        Assert.Equal(0, Memory.Holds);
        Memory.Dispose();
        Assert.Equal("nothing", Rig.Host.Ledger.ToString());
        Rig.Dispose();
    }
}
