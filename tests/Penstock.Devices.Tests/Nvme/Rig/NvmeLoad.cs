using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>
/// A host that writes and reads blocks all the time and knows what has to be in them. Each block is written with its number and a version;
/// of a block at most one command is under way.
/// </summary>
internal sealed class NvmeLoad
{
    private const int Depth = 16;
    private const int BlockSize = 512;

    private readonly object _gate = new();
    private readonly NvmeRig _rig;
    private readonly int _blocks;
    private readonly ulong[] _versions;
    private readonly ulong _buffers;
    private readonly (int Block, bool IsWrite)[] _underWay = new (int, bool)[Depth];
    private readonly Random _random = new(1);
    private Thread? _thread;
    private Exception? _failure;
    private volatile bool _isEnding;
    private ulong _version;
    private long _completed;

    internal NvmeLoad(NvmeRig rig, NvmeHostQueue queue, int blocks)
    {
        _rig = rig;
        Queue = queue;
        _blocks = blocks;
        _versions = new ulong[blocks];
        _buffers = rig.Pages(Depth);
    }

    internal NvmeHostQueue Queue { get; }

    internal long Completed => Interlocked.Read(ref _completed);

    /// <summary>Whether it goes on no more; <see cref="Finish"/> says why.</summary>
    internal bool HasEnded => !_thread!.IsAlive;

    internal void Start()
    {
        _thread = new Thread(Run) { IsBackground = true, Name = "nvme load" };
        _thread.Start();
    }

    /// <summary>Does something while the host stands still, with commands under way.</summary>
    internal void Pause(Action action)
    {
        lock (_gate)
        {
            action();
        }
    }

    /// <summary>Ends, and reads everything back.</summary>
    internal void Finish()
    {
        _isEnding = true;
        Assert.True(_thread!.Join(NvmeRig.Patience), "the host does not end");
        if (_failure is not null)
        {
            throw new InvalidOperationException("the host failed", _failure);
        }

        for (int block = 0; block < _blocks; block++)
        {
            Queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, (ulong)block, 1, _buffers));
            Check(block, 0);
        }
    }

    private void Run()
    {
        try
        {
            for (int slot = 0; slot < Depth; slot++)
            {
                lock (_gate)
                {
                    Submit(slot);
                }
            }

            int left = Depth;
            long since = Environment.TickCount64;
            while (left != 0)
            {
                lock (_gate)
                {
                    if (Queue.CompletionRing.TryTake(out NvmeCompletion completion))
                    {
                        since = Environment.TickCount64;
                        Assert.Equal(NvmeStatus.Success, completion.Status);
                        int slot = completion.CommandId;
                        (int block, bool isWrite) = _underWay[slot];
                        if (!isWrite)
                        {
                            Check(block, slot);
                        }

                        Interlocked.Increment(ref _completed);
                        if (_isEnding)
                        {
                            left--;
                        }
                        else
                        {
                            Submit(slot);
                        }

                        continue;
                    }
                }

                Assert.True(Environment.TickCount64 - since < NvmeRig.Patience.TotalMilliseconds, "a command does not end");
                Thread.Yield();
            }
        }
        catch (Exception e)
        {
            _failure = e;
        }
    }

    private void Submit(int slot)
    {
        int block;
        do
        {
            block = _random.Next(_blocks);
        }
        while (Array.Exists(_underWay, u => u.Block == block));

        bool isWrite = _random.Next(3) != 0;
        _underWay[slot] = (block, isWrite);
        ulong buffer = _buffers + (ulong)(slot * NvmeRig.Page);
        Span<ulong> words = MemoryMarshal.Cast<byte, ulong>(_rig.At(buffer, BlockSize));
        if (isWrite)
        {
            _versions[block] = ++_version;
            words.Fill(((ulong)block << 40) | _version);
        }
        else
        {
            words.Fill(ulong.MaxValue);
        }

        Queue.Submit(NvmeRig.Io(isWrite ? NvmeIoOpcode.Write : NvmeIoOpcode.Read, (ulong)block, 1, buffer), (ushort)slot);
    }

    private void Check(int block, int slot)
    {
        ulong wanted = _versions[block] == 0 ? 0 : ((ulong)block << 40) | _versions[block];
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(_rig.At(_buffers + (ulong)(slot * NvmeRig.Page), BlockSize)))
        {
            Assert.Equal(wanted, word);
        }
    }
}
