using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <summary>
/// A queue of I/O page faults, read and answered by the user. Disposing closes its file; the object stays until it is destroyed. All
/// members may be called from any thread.
/// </summary>
public sealed class FaultQueue : IommufdObject, IDisposable
{
    private readonly LinkedList<FaultGroup> _waiting = new();
    private readonly SortedDictionary<uint, FaultGroup> _delivered = [];
    private bool _fileClosed;

    internal FaultQueue(IommufdContext context)
        : base(context) => Users = 1;

    /// <summary>Whether a read would return something.</summary>
    public bool HasWaiting
    {
        get
        {
            lock (Context.Gate)
            {
                return _waiting.Count != 0;
            }
        }
    }

    internal override int DestroyOrder => 5;

    /// <summary>read(2) on the queue's file: whole groups of records, as many as fit.</summary>
    /// <param name="buffer">Receives the records.</param>
    /// <returns>Bytes written to the buffer; 0 when nothing waits.</returns>
    /// <exception cref="VfioException">ESPIPE: not a multiple of the record's length; EINVAL: the first group does not fit.</exception>
    public int Read(Span<byte> buffer)
    {
        const string What = "reading a fault queue";
        CheckSize(What, buffer.Length, IommuHwptPageFault.Length);
        lock (Context.Gate)
        {
            Span<IommuHwptPageFault> records = MemoryMarshal.Cast<byte, IommuHwptPageFault>(buffer);
            int done = 0;
            while (_waiting.First is { } first && done < records.Length)
            {
                FaultGroup group = first.Value;
                if (group.Faults.Length > records.Length - done)
                {
                    break;
                }

                _waiting.RemoveFirst();
                group.Cookie = FreeCookie();
                _delivered.Add(group.Cookie, group);
                for (int i = 0; i < group.Faults.Length; i++)
                {
                    records[done] = group.Faults[i];
                    records[done].Cookie = group.Cookie;
                    done++;
                }
            }

            return done != 0 || _waiting.Count == 0 || records.Length == 0
                ? done * IommuHwptPageFault.Length
                : throw new VfioException(Errno.EINVAL, What, "the first group of faults does not fit; read with a larger buffer");
        }
    }

    /// <summary>write(2) on the queue's file: answers to groups that were read.</summary>
    /// <param name="buffer">The answers.</param>
    /// <returns>Bytes taken; less than given when a later answer was bad.</returns>
    /// <exception cref="VfioException">ESPIPE: not a multiple of the answer's length; EINVAL: the first answer has an unknown code or cookie.</exception>
    public int Write(ReadOnlySpan<byte> buffer)
    {
        const string What = "answering page faults";
        CheckSize(What, buffer.Length, IommuHwptPageResponse.Length);
        int done = 0;
        foreach (IommuHwptPageResponse response in MemoryMarshal.Cast<byte, IommuHwptPageResponse>(buffer))
        {
            if (response.Code > IommuFaultResponseCode.Invalid || Take(response.Cookie) is not { } group)
            {
                return done != 0 ? done : throw new VfioException(Errno.EINVAL, What, $"no group {response.Cookie} waits for answer {response.Code}");
            }

            group.Answered(response.Code);
            done += IommuHwptPageResponse.Length;
        }

        return done;
    }

    /// <summary>Closes the queue's file.</summary>
    public void Dispose()
    {
        lock (Context.Gate)
        {
            if (!_fileClosed)
            {
                _fileClosed = true;
                Users--;
            }
        }
    }

    internal void Add(IommufdDevice device, ReadOnlySpan<IommuHwptPageFault> faults, Action<IommuFaultResponseCode> answered)
    {
        IommuHwptPageFault[] records = faults.ToArray();
        for (int i = 0; i < records.Length; i++)
        {
            records[i].DeviceId = device.Id;
            records[i].Flags &= ~IommuFaultFlags.LastPage;
        }

        records[^1].Flags |= IommuFaultFlags.LastPage;
        _waiting.AddLast(new FaultGroup(device, records, answered));
    }

    /// <summary>The device leaves: nobody will answer its faults any more.</summary>
    internal void AnswerAll(IommufdDevice device)
    {
        List<FaultGroup> left = [.. _waiting.Where(g => g.Device == device), .. _delivered.Values.Where(g => g.Device == device)];
        foreach (FaultGroup group in left)
        {
            _waiting.Remove(group);
            _delivered.Remove(group.Cookie);
            group.Answered(IommuFaultResponseCode.Invalid);
        }
    }

    internal override void Destroyed()
    {
        // Whoever could have reported a fault is gone.
    }

    private static void CheckSize(string what, int bytes, int record)
    {
        if (bytes % record != 0)
        {
            throw new VfioException(Errno.ESPIPE, what, $"{bytes} bytes are not a multiple of {record}");
        }
    }

    private FaultGroup? Take(uint cookie)
    {
        lock (Context.Gate)
        {
            return _delivered.Remove(cookie, out FaultGroup? group) ? group : null;
        }
    }

    private uint FreeCookie()
    {
        uint cookie = 1;
        while (_delivered.ContainsKey(cookie))
        {
            cookie++;
        }

        return cookie;
    }

    private sealed record FaultGroup(IommufdDevice Device, IommuHwptPageFault[] Faults, Action<IommuFaultResponseCode> Answered)
    {
        internal uint Cookie { get; set; }
    }
}
