using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>A migratable function behind a device file, with a page of memory at IOVA 0 for each page asked for.</summary>
internal sealed class MigrationRig : IDisposable
{
    public MigrationRig(IPciFunction? function = null, int pages = 16)
    {
        Function = function ?? new CounterFunction();
        Host = new VfioHost(new VfioHostOptions { Log = Log.Add });
        IommuGroup group = Host.AddIommuUnit("unit").CreateGroup();
        Device = new VfioPciCoreDevice("0000:01:00.0", Function, group, Log.Add);
        Host.Register(Device, group);
        GroupFile = Host.OpenGroup(group.Number, Caller.Current);
        Container = Host.OpenContainer(Caller.Current);
        GroupFile.SetContainer(Container);
        Container.SetIommu(VfioIommuType.Type1V2);
        File = GroupFile.OpenDevice(Device.Name);
        Memory = MemoryFile.Create("guest", (ulong)pages * 4096);
        Mapping = MemoryMapping.Map(Memory.Descriptor.Value, 0, (nuint)pages * 4096, MemoryProtection.ReadWrite);
        using var mapped = new Owner(MappedMemory.Create(Host.Mappings, Memory.Descriptor, 0, (ulong)pages * 4096));
        Container.MapDma(0, (ulong)pages * 4096, DmaAccess.ReadWrite, mapped.Memory, 0);
    }

    public List<string> Log { get; } = [];

    public IPciFunction Function { get; }

    public CounterFunction Counter => (CounterFunction)Function;

    public VfioHost Host { get; }

    public VfioPciCoreDevice Device { get; }

    public VfioGroup GroupFile { get; }

    public VfioContainer Container { get; }

    public VfioDeviceFile File { get; }

    public MemoryFile Memory { get; }

    public MemoryMapping Mapping { get; }

    /// <summary>What the device reaches by DMA.</summary>
    // SAFETY: the mapping lives as long as the rig.
    public unsafe Span<byte> Guest => new(Mapping.Pointer, (int)Mapping.Length);

    public static byte[] ReadAll(MigrationDataFile file, int chunk = 1000)
    {
        var all = new List<byte>();
        byte[] part = new byte[chunk];
        while (true)
        {
            Errno errno = file.Read(part, out int read);
            if (errno == Errno.ENOMSG || read == 0)
            {
                return [.. all];
            }

            Assert.Equal(Errno.None, errno);
            all.AddRange(part.AsSpan(0, read));
        }
    }

    public void Write(int bar, ulong offset, ulong value) =>
        Assert.Equal(Errno.None, File.Write((uint)bar, offset, BitConverter.GetBytes(value), out _));

    public ulong Read(int bar, ulong offset)
    {
        byte[] word = new byte[8];
        Assert.Equal(Errno.None, File.Read((uint)bar, offset, word, out _));
        return BitConverter.ToUInt64(word);
    }

    public void Dispose()
    {
        File.Dispose();
        GroupFile.Dispose();
        Container.Dispose();
        Host.Unregister(Device);
        Device.Dispose();
        Mapping.Dispose();
        Memory.Dispose();
        Host.Dispose();
    }

    private readonly struct Owner(UserMemory memory) : IDisposable
    {
        public UserMemory Memory => memory;

        public void Dispose() => memory.Release();
    }
}
