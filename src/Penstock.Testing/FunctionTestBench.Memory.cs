using Penstock.Vfio;

namespace Penstock.Testing;

/// <content>Memory, and where devices find it.</content>
public sealed partial class FunctionTestBench
{
    private readonly List<TestMemory> _memories = [];
    private readonly List<(ulong Iova, ulong Size, TestMemory Memory, DmaAccess Access)> _maps = [];

    /// <summary>The memory made so far.</summary>
    public IReadOnlyList<TestMemory> Memories
    {
        get
        {
            lock (_memories)
            {
                return [.. _memories];
            }
        }
    }

    /// <summary>Makes memory that no device can reach yet. The bench disposes it.</summary>
    /// <param name="size">Size in bytes, a multiple of 4096.</param>
    /// <param name="kind">How devices will reach it.</param>
    /// <returns>The memory, all zeroes.</returns>
    public TestMemory CreateMemory(ulong size, TestMemoryKind kind = TestMemoryKind.Direct)
    {
        var memory = new TestMemory(size, kind);
        lock (_memories)
        {
            _memories.Add(memory);
        }

        return memory;
    }

    /// <summary>Makes memory and maps all of it.</summary>
    /// <param name="iova">I/O address, a multiple of 4096.</param>
    /// <param name="size">Size in bytes, a multiple of 4096.</param>
    /// <param name="access">What the device may do.</param>
    /// <param name="kind">How the device reaches it.</param>
    /// <returns>The memory, all zeroes.</returns>
    /// <exception cref="VfioException">The container refuses.</exception>
    public TestMemory Map(ulong iova, ulong size, DmaAccess access = DmaAccess.ReadWrite, TestMemoryKind kind = TestMemoryKind.Direct)
    {
        TestMemory memory = CreateMemory(size, kind);
        Map(iova, memory, access);
        return memory;
    }

    /// <summary>Maps memory, or part of it. The same memory may be mapped at several places.</summary>
    /// <param name="iova">I/O address, a multiple of 4096.</param>
    /// <param name="memory">The memory.</param>
    /// <param name="access">What the device may do.</param>
    /// <param name="offset">First byte in the memory, a multiple of 4096.</param>
    /// <param name="size">Size in bytes, a multiple of 4096; 0 for all that follows.</param>
    /// <exception cref="VfioException">The container refuses.</exception>
    public void Map(ulong iova, TestMemory memory, DmaAccess access = DmaAccess.ReadWrite, ulong offset = 0, ulong size = 0)
    {
        ArgumentNullException.ThrowIfNull(memory);
        size = size == 0 ? memory.Size - offset : size;
        UserMemory source = memory.Offer(iova, offset, size);
        try
        {
            Container.MapDma(iova, size, access, source, 0);
        }
        catch
        {
            memory.Channel?.Withdraw(iova, offset, size);
            throw;
        }
        finally
        {
            // The mapping holds it from here on, and with it goes the last reference.
            source.Release();
        }

        lock (_maps)
        {
            _maps.Add((iova, size, memory, access));
        }
    }

    /// <summary>Unmaps what was mapped at an address. When this returns the device does not reach it any more, unless it holds it for a transfer.</summary>
    /// <param name="iova">I/O address that was given to <see cref="Map(ulong, TestMemory, DmaAccess, ulong, ulong)"/>.</param>
    /// <exception cref="TestBenchException">Nothing is mapped there.</exception>
    public void Unmap(ulong iova)
    {
        ulong size;
        TestMemory memory;
        lock (_maps)
        {
            int found = _maps.FindIndex(m => m.Iova == iova);
            if (found < 0)
            {
                throw new TestBenchException($"nothing was mapped at 0x{iova:x}");
            }

            (_, size, memory, _) = _maps[found];
            _maps.RemoveAt(found);
        }

        Container.UnmapDma(iova, size);
        memory.Channel?.Remove(iova);
    }

    /// <summary>What is mapped now, in the order in which it was mapped.</summary>
    internal List<(ulong Iova, TestMemory Memory, DmaAccess Access)> Mapped
    {
        get
        {
            lock (_maps)
            {
                return _maps.ConvertAll(static m => (m.Iova, m.Memory, m.Access));
            }
        }
    }

    /// <summary>Looks at memory a last time and gives it back.</summary>
    internal void Discard(TestMemory memory)
    {
        lock (_memories)
        {
            _memories.Remove(memory);
        }

        string? damage = memory.FindDamage();
        memory.Dispose();
        if (damage is not null)
        {
            throw new TestBenchException(damage);
        }
    }

    private void DisposeMemories()
    {
        lock (_memories)
        {
            // What a model still holds it may still touch: better left than taken away under it.
            _memories.Where(static m => !m.IsInUse).ToList().ForEach(static m => m.Dispose());
        }
    }
}
