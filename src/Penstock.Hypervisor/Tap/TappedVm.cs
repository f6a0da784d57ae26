using System.Globalization;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A guest of an unmodified QEMU, as far as this process knows it: its memory, which is a file that this process makes and that QEMU is told to use
/// (<see cref="RamArguments"/>). Interrupts are QEMU's own affair: it injects them when the device signals. All members may be called from any thread.
/// </summary>
public sealed class TappedVm : IHypervisorVm, IDisposable
{
    /// <summary>Name of the memory in QEMU's arguments.</summary>
    private const string BackendName = "penstock-tapped-ram";

    private readonly MemoryFile _ram;
    private int _references = 1;
    private int _disposed;

    private TappedVm(MemoryFile ram, UserMemory memory)
    {
        _ram = ram;
        Memory = new GuestMemory();
        Memory.Add(new GuestMemorySlot(0, 0, ram.Size, memory));
    }

    /// <inheritdoc/>
    public GuestMemory Memory { get; }

    /// <inheritdoc/>
    public IInterruptSink Interrupts { get; } = new InterruptController();

    /// <summary>Size of the guest's memory in bytes.</summary>
    public ulong RamSize => _ram.Size;

    /// <summary>Path of the guest's memory for another process of the same user, while this process lives.</summary>
    public string RamPath => string.Create(CultureInfo.InvariantCulture, $"/proc/{Environment.ProcessId}/fd/{_ram.Descriptor.Value}");

    /// <summary>What QEMU is to be told, beside <c>-m</c> with <see cref="RamSize"/>: the memory, and that the machine uses it.</summary>
    public IReadOnlyList<string> RamArguments =>
    [
        "-object", string.Create(CultureInfo.InvariantCulture, $"memory-backend-file,id={BackendName},size={RamSize},share=on,mem-path={RamPath}"),
        "-machine", $"memory-backend={BackendName}",
    ];

    /// <summary>Makes the memory of a guest that is about to be started.</summary>
    /// <param name="host">The host whose devices the guest gets; its ledger counts the memory.</param>
    /// <param name="ramSize">Size in bytes, whole pages.</param>
    /// <returns>The machine; dispose of it when QEMU has ended.</returns>
    /// <exception cref="SystemCallException">The memory cannot be made.</exception>
    /// <exception cref="VfioException">It cannot be mapped.</exception>
    public static TappedVm Create(VfioHost host, ulong ramSize)
    {
        ArgumentNullException.ThrowIfNull(host);
        ArgumentOutOfRangeException.ThrowIfZero(ramSize);
        MemoryFile ram = MemoryFile.Create("penstock-guest", ramSize, MemorySeals.Shrink | MemorySeals.Grow, host.Ledger);
        try
        {
            MappedMemory memory = MappedMemory.Create(host.Mappings, ram.Descriptor, 0, ramSize);
            try
            {
                return new TappedVm(ram, memory);
            }
            finally
            {
                // The slot holds a reference of its own.
                memory.Release();
            }
        }
        catch
        {
            ram.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public bool TryAcquire()
    {
        for (int seen = Volatile.Read(ref _references); seen != 0; seen = Volatile.Read(ref _references))
        {
            if (Interlocked.CompareExchange(ref _references, seen + 1, seen) == seen)
            {
                return true;
            }
        }

        return false;
    }

    /// <inheritdoc/>
    public void Release()
    {
        int left = Interlocked.Decrement(ref _references);
        ArgumentOutOfRangeException.ThrowIfNegative(left);
        if (left == 0)
        {
            Memory.Clear();
            _ram.Dispose();
        }
    }

    /// <summary>Gives the handle back; the memory goes with the last device that holds the machine.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Release();
        }
    }
}
